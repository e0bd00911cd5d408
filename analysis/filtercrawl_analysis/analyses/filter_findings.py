"""Findings of the analysis `filters`, each derived from rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import CitedRows, Estimate, Finding
from filtercrawl.api.formatting import format_plural, verb
from filtercrawl_analysis.statistics.filters.filter_rows import MORE, NONE, NOT_MORE
from filtercrawl_analysis.statistics.groups.group_medians import ALL
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.model_medians import HIGHER, LOWER, TOO_LITTLE

MODELS: Final = "model_filters"
MEDIANS: Final = "filter_medians"
CORRELATIONS: Final = "filter_correlations"
# Models named; the others are counted.
MAX_NAMED: Final = 5


def filter_findings(
    models: pa.Table, medians: pa.Table, correlated: pa.Table, coverage: tuple[int, int] | None
) -> Iterator[Finding]:
    """Yield how many filters are copies or dead, in which models, and what a joined table is correlated with.

    Args:
        models: The table `model_filters`.
        medians: The table `filter_medians`.
        correlated: The table `filter_correlations`; empty without a joined table.
        coverage: Rows of the joined table that belong to a filter, and all of them; None without one.
    """
    if coverage is not None:
        yield from _joined(correlated.to_pylist(), *coverage)
    rows = models.to_pylist()
    yield _copies(rows)
    yield _dead(rows)
    yield from _median(medians.to_pylist())


def _joined(rows: list[dict[str, Any]], matched: int, total: int) -> Iterator[Finding]:
    for i, row in enumerate(rows):
        if row["measure"] != "energy_share":  # which orders the filters of a layer as norm_l2 does
            yield Finding(text=_correlation(row), table=CORRELATIONS, row=i, estimate=_correlation_estimate(row))
    belong = verb(matched, "belongs", "belong")
    yield Finding(text=f"{matched:,} of {total:,} joined rows {belong} to a filter of the analyzed layers.")


def _copies(rows: list[dict[str, Any]]) -> Finding:
    by_verdict = {text: [(i, row) for i, row in enumerate(rows) if row["copies"] == text] for text in (MORE, NOT_MORE)}
    total, n_copies = (sum(row[name] for row in rows) for name in ("n_filters", "n_copies"))
    n_none = sum(row["copies"] == NONE for row in rows)
    n_more, n_not_more = (len(by_verdict[verdict]) for verdict in (MORE, NOT_MORE))
    text = (
        f"{n_copies:,} of {total:,} filters {verb(n_copies, 'is a copy', 'are copies')} of another one of "
        f"the same layer. Of {_models(len(rows))}, "
        f"{n_more} {verb(n_more, 'has', 'have')} more of them than independent filters, {n_not_more} cannot be "
        f"told apart from these, {n_none} {verb(n_none, 'has', 'have')} none."
    )
    named = by_verdict[MORE][:MAX_NAMED] or by_verdict[NOT_MORE][:MAX_NAMED]
    if by_verdict[MORE]:
        text += f" More than independent filters: {_named(named, 'copy_share')}{_more(by_verdict[MORE])}."
    share = _share(n_copies, total, "of the filters are copies of another one of their layer")
    return replace(_finding(text, named, share), cited_rows=_filters_that_are("copy", n_copies))


def _dead(rows: list[dict[str, Any]]) -> Finding:
    total, n_dead = (sum(row[name] for row in rows) for name in ("n_filters", "n_dead_filters"))
    having = [(i, row) for i, row in enumerate(rows) if row["n_dead_filters"]]
    named = sorted(having, key=lambda item: (-item[1]["dead_filter_share"], item[0]))[:MAX_NAMED]
    text = f"{n_dead:,} of {total:,} filters {verb(n_dead, 'is', 'are')} dead, in {len(having)} of "
    text += f"{_models(len(rows))}."
    if named:
        text += f" The largest {'share' if len(named) == 1 else 'shares'}: {_named(named, 'dead_filter_share')}."
    share = _share(n_dead, total, "of the filters are dead")
    return replace(_finding(text, named, share), cited_rows=_filters_that_are("dead", n_dead))


def _filters_that_are(column: str, count: int) -> tuple[CitedRows, ...]:
    return (CitedRows(table="filters", where={column: True}),) if count else ()


def _median(rows: list[dict[str, Any]]) -> Iterator[Finding]:
    for i, row in enumerate(rows):
        if row["column"] == ALL and row["measure"] == "twin_similarity":
            interval = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
            text = (
                f"In the median model ({_models(row['models'])}), the median filter of {kernel_phrase(row['kernel'])} "
                f"has a cosine of magnitude {row['median']:.2f}{interval} with the filter of its layer that is most "
                "like it."
            )
            estimate = Estimate(
                label="cosine of the median filter with its nearest other one, in the median model",
                value=row["median"],
                low=row["low"],
                high=row["high"],
            )
            yield Finding(text=text, table=MEDIANS, row=i, estimate=estimate, figure="twin_similarity")
            return


def _correlation(row: dict[str, Any]) -> str:
    words = f"{row['joined']} and {row['measure'].replace('_', ' ')}"
    if row["verdict"] == TOO_LITTLE:
        return f"{words}: too few joined filters to tell whether they are correlated within layers."
    interval = (
        "" if row["low"] is None else f", median over {_models(row['models'])} in [{row['low']:.2f}, {row['high']:.2f}]"
    )
    layers = format_plural(row["layers"], "layer")
    rho = f"rank correlation {row['within_layers']:.2f} within {layers}{interval}, {_q(row['q'])}"
    if row["verdict"] in (HIGHER, LOWER):
        return (
            f"Filters with a higher {row['joined']} have a {row['verdict']} {row['measure'].replace('_', ' ')}: {rho}."
        )
    return f"{words} are not told apart from unrelated within layers: {rho}."


def _q(value: float) -> str:
    return f"q = {value:.2g}" if value > 0 else "q < 1e-300"  # the least that a float64 holds is 1e-308


def _finding(text: str, named: list[tuple[int, dict[str, Any]]], estimate: Estimate | None) -> Finding:
    if not named:
        return Finding(text=text, estimate=estimate)
    first, *others = [i for i, _ in named]
    return Finding(text=text, table=MODELS, row=first, other_rows=tuple(others), estimate=estimate)


def _share(part: int, total: int, label: str) -> Estimate | None:
    note = f"{part:,} of {total:,}, a count of all"
    return Estimate(label=label, value=part / total, percent=True, note=note) if total else None


def _correlation_estimate(row: dict[str, Any]) -> Estimate | None:
    if row["verdict"] == TOO_LITTLE:
        return None
    return Estimate(
        label=f"rank correlation of {row['joined']} and {row['measure'].replace('_', ' ')} within layers",
        value=row["within_layers"],
        low=row["low"],
        high=row["high"],
        q=row["q"],
    )


def _named(rows: list[tuple[int, dict[str, Any]]], column: str) -> str:
    return ", ".join(f"{row['model_id']} ({row[column]:.2%})" for _, row in rows)


def _more(rows: list[Any]) -> str:
    return f" and {len(rows) - MAX_NAMED:,} more" if len(rows) > MAX_NAMED else ""


def _models(count: int) -> str:
    return f"{count:,} model{'s' * (count != 1)}"
