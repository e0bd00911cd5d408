"""The sentences of the analysis `form`, each with the rows that it is derived from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import Estimate, Finding
from filtercrawl.api.formatting import format_plural, verb
from filtercrawl_analysis.statistics.form.fitted_kernels import DOG, GABOR, NEITHER
from filtercrawl_analysis.statistics.form.shares import ALL
from filtercrawl_analysis.statistics.form.templates import NOISE, OTHER
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.model_medians import HIGHER, LOWER, TOO_LITTLE

Row = dict[str, Any]
Found = list[tuple[int, Row]]

# Share of the most frequent form below which it would be shown as 0 %.
_HARDLY_ANY: Final = 0.005
# Forms and cells that a sentence names; the others are counted.
_MAX_NAMED: Final = 4


def fit_findings(shares: pa.Table) -> Iterator[Finding]:
    """Yield one finding for each kernel size: how many kernels the two models describe.

    Args:
        shares: The table `form_fits`.
    """
    rows = shares.to_pylist()
    for kernel in dict.fromkeys(row["kernel"] for row in rows):
        found = {row["form"]: (at, row) for at, row in enumerate(rows) if row["kernel"] == kernel}
        (first, gabor), (second, dog), (third, neither) = (found[form] for form in (GABOR, DOG, NEITHER))
        yield Finding(
            text=f"Of {kernel_phrase(kernel)} ({_models(gabor['models'])}), a Gabor function describes "
            f"{gabor['share']:.0%}{_interval(gabor)}, a difference of Gaussians {dog['share']:.0%}{_interval(dog)} and "
            f"neither {neither['share']:.0%}{_interval(neither)}; of random kernels, 98 % "
            "have neither.",
            table="form_fits",
            row=first,
            other_rows=(second, third),
            figure=f"form_fits_{kernel}",
            estimate=Estimate(
                label=f"of {kernel_phrase(kernel)} are described by a Gabor function",
                value=gabor["share"],
                low=gabor["low"],
                high=gabor["high"],
                percent=True,
            ),
        )


def share_findings(shares: pa.Table) -> Iterator[Finding]:
    """Yield one finding for each size of depthwise kernels: the forms that are more frequent than by chance.

    Args:
        shares: The table `form_shares`.
    """
    overall = [(at, row) for at, row in enumerate(shares.to_pylist()) if row["column"] == ALL]
    for kernel in dict.fromkeys(row["kernel"] for _, row in overall):
        rows = [(at, row) for at, row in overall if row["kernel"] == kernel and row["form"] not in (OTHER, NOISE)]
        head = f"Among depthwise {kernel_phrase(kernel)} ({_models(rows[0][1]['models'])})"
        if all(row["verdict"] == TOO_LITTLE for _, row in rows):
            largest = max(rows, key=lambda item: (item[1]["share"], -item[0]))
            text = (
                f"{head}, hardly any has a named form, {largest[1]['share']:.1%} the most frequent of them"
                if largest[1]["share"] < _HARDLY_ANY
                else f"{head}, the most frequent form is {_share(largest[1])}"
            ) + "; too few models to tell from chance."
            yield replace(_finding(text, [largest]), figure=f"form_shares_{kernel}")
            continue
        more = sorted((item for item in rows if item[1]["verdict"] == HIGHER), key=lambda item: -item[1]["share"])
        if more:
            named = ", ".join(_share(row) for _, row in more[:_MAX_NAMED])
            others = f" and {len(more) - _MAX_NAMED} more" if len(more) > _MAX_NAMED else ""
            count = f"{len(more)} of {len(rows)} forms {verb(len(more), 'is', 'are')}"
            text = f"{head}, {count} more frequent than by chance: {named}{others}."
            finding = _finding(text, more[:_MAX_NAMED], estimate=_form_estimate(more[0][1]))
        else:
            nearest = min((item for item in rows if item[1]["q"] is not None), key=lambda item: item[1]["q"])
            text = f"{head}, no form is more frequent than by chance (smallest q: {_share(nearest[1])})."
            finding = _finding(text, [nearest], estimate=_form_estimate(nearest[1]))
        yield replace(finding, figure=f"form_shares_{kernel}")


def depth_findings(trends: pa.Table) -> Iterator[Finding]:
    """Yield one finding for each kernel size with enough models: the forms that change with depth.

    Args:
        trends: The table `form_depth`.
    """
    tested = [(at, row) for at, row in enumerate(trends.to_pylist()) if row["q"] is not None]
    for kernel in dict.fromkeys(row["kernel"] for _, row in tested):
        rows = sorted((item for item in tested if item[1]["kernel"] == kernel), key=lambda item: item[1]["q"])
        told = [item for item in rows if item[1]["verdict"] in (HIGHER, LOWER)]
        phrase = kernel_phrase(kernel)
        if told:
            named = ", ".join(_trend(row) for _, row in told[:_MAX_NAMED])
            count = f"{len(told)} of {len(rows)} forms of depthwise {phrase} {verb(len(told), 'changes', 'change')}"
            text = f"Within models, {count} with depth: {named}."
            finding = _finding(text, told[:_MAX_NAMED], "form_depth", _trend_estimate(told[0][1]))
        else:
            text = (
                f"Within models, no form of depthwise {phrase} is told to change with depth (smallest q: "
                f"{_trend(rows[0][1])})."
            )
            finding = _finding(text, rows[:1], "form_depth", _trend_estimate(rows[0][1]))
        yield replace(finding, figure=f"form_depth_{kernel}", columns=("conv_depth_norm",))


def angle_findings(histograms: pa.Table) -> Iterator[Finding]:
    """Yield one finding for the orientation and one for the phase of filters of first layers.

    Args:
        histograms: The table `first_layer_orientation`.
    """
    rows = list(enumerate(histograms.to_pylist()))
    for angle in dict.fromkeys(row["angle"] for _, row in rows):
        kernel = next(row["kernel"] for _, row in rows if row["angle"] == angle)
        cells = [(at, row) for at, row in rows if row["angle"] == angle and row["kernel"] == kernel]
        first = cells[0][1]
        head = (
            f"The {angle} of filters of first layers ({_models(first['models'])}, "
            f"{format_plural(first['fitted_filters'], 'filter')})"
        )
        largest = max(cells, key=lambda item: (item[1]["share"], -item[0]))
        if all(row["verdict"] == TOO_LITTLE for _, row in cells):
            text = f"{head} is most often {_cell(largest[1])}; too few models to tell from equal cells."
            yield _finding(text, [largest], "first_layer_orientation")
            continue
        more = sorted((item for item in cells if item[1]["verdict"] == HIGHER), key=lambda item: -item[1]["share"])
        if more:
            named = ", ".join(_cell(row) for _, row in more[:_MAX_NAMED])
            text = f"{head} is more often than {first['uniform']:.1%} near {named}."
            yield _finding(text, more[:_MAX_NAMED], "first_layer_orientation")
        else:
            text = f"{head} is not told from equally frequent in all cells; the most frequent is {_cell(largest[1])}."
            yield _finding(text, [largest], "first_layer_orientation")


def without_missing_figures(findings: Iterable[Finding], drawn: frozenset[str]) -> Iterator[Finding]:
    """Yield findings; those whose figure is not drawn, as of rare kernel sizes, without figure and number.

    Args:
        findings: The findings.
        drawn: Names of the figures of the analysis.
    """
    for finding in findings:
        missing = finding.figure is not None and finding.figure not in drawn
        yield replace(finding, figure=None, estimate=None) if missing else finding


def _finding(text: str, rows: Found, table: str = "form_shares", estimate: Estimate | None = None) -> Finding:
    others = tuple(at for at, _ in rows[1:])
    return Finding(text=text, table=table, row=rows[0][0], other_rows=others, estimate=estimate)


def _form_estimate(row: Row) -> Estimate:
    return Estimate(
        label=f"of depthwise {kernel_phrase(row['kernel'])} have the form {row['form']}, {row['chance']:.0%} by chance",
        value=row["share"],
        low=row["low"],
        high=row["high"],
        q=row["q"],
        percent=True,
    )


def _trend_estimate(row: Row) -> Estimate:
    return Estimate(
        label=f"rank correlation with depth of the form {row['form']}", value=row["depth_correlation"], q=row["q"]
    )


def _share(row: Row) -> str:
    return f"{row['form']} with {row['share']:.0%}{_interval(row)} against {row['chance']:.0%} by chance"


def _trend(row: Row) -> str:
    way = "more" if row["depth_correlation"] > 0 else "less"
    return (
        f"{row['form']} {way} frequent (rank correlation {row['depth_correlation']:.2f}, {_models(row['models'])}, "
        f"q = {row['q']:.2g})"
    )


def _cell(row: Row) -> str:
    middle = (row["start"] + row["stop"]) / 2 * 180 / math.pi
    return f"{middle:g}° ({row['share']:.0%}{_interval(row)})"


def _interval(row: Row) -> str:
    return "" if row["low"] is None else f" [{row['low']:.0%}, {row['high']:.0%}]"


def _models(count: int) -> str:
    return f"{count:,} model{'s' * (count != 1)}"
