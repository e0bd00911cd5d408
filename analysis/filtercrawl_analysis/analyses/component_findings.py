"""Findings of the analysis `eigenkernels`, each derived from a row of its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from filtercrawl.api.analysis import CitedRows, Estimate, Finding
from filtercrawl.api.formatting import verb
from filtercrawl_analysis.statistics.components.explained_variance import SizeComponents
from filtercrawl_analysis.statistics.components.share_intervals import overlapping_runs
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.labels import sample_size
from filtercrawl_analysis.statistics.groups.model_medians import HIGHER, LOWER, TOO_LITTLE

Row = dict[str, Any]


def component_finding(size: SizeComponents) -> Finding:
    """Return what the first components of a kernel size explain, for the first row of the table `eigenkernels`."""
    shares = size.components.explained_variance[:3]
    parts = [
        f"{share:.1%}" + ("" if size.low is None or size.high is None else f" [{size.low[i]:.1%}, {size.high[i]:.1%}]")
        for i, share in enumerate(shares)
    ]
    models = sample_size(size.layers).models
    text = (
        f"The first components of {kernel_phrase(size.kernel)} explain {', '.join(parts)} of their variance "
        f"({models:,} model{'s' * (models != 1)})."
    )
    return Finding(
        text=f"{text} {order_sentence(size)}".strip(),
        table="eigenkernels",
        row=0,
        estimate=Estimate(
            label=f"of the variance of {kernel_phrase(size.kernel)} lies along their first principal component",
            value=float(shares[0]),
            low=None if size.low is None else float(size.low[0]),
            high=None if size.high is None else float(size.high[0]),
            percent=True,
        ),
    )


def order_sentence(size: SizeComponents) -> str:
    """Return which components have overlapping intervals, so that their order and directions are not determined."""
    if size.low is None or size.high is None:
        return "Too few models for intervals, so it is unknown which components are determined."
    runs = [run for run in overlapping_runs(size.low.tolist(), size.high.tolist()) if len(run) > 1]
    if not runs:
        return ""
    names = [f"c{run[0]} {'to' if len(run) > 2 else 'and'} c{run[-1]}" for run in runs]
    return f"Nearly equal, so that their order and directions are not determined: {'; '.join(names)}."


def group_findings(rows: Sequence[Row], kernel: str) -> Iterator[Finding]:
    """Yield, for each column, whether the first component explains more in some groups than in their other layers.

    Args:
        rows: Rows of the table `explained_variance`.
        kernel: The kernel size to tell of.
    """
    first = [(i, row) for i, row in enumerate(rows) if row["kernel"] == kernel and row["component"] == 0]
    for column, items in groupby(first, key=lambda item: item[1]["column"]):
        of_column = list(items)
        if len(of_column) > 1:
            position, text = _by_group(column, of_column)
            row = rows[position]
            estimate = Estimate(
                label=f"of the variance along the first principal component, {column.replace('_', ' ')} {row['group']}",
                value=row["along_all"],
                q=row["q"],
                percent=True,
            )
            yield Finding(
                text=text,
                table="explained_variance",
                row=position,
                estimate=None if row["q"] is None else estimate,
                columns=(column,),
                cited_rows=(
                    CitedRows(table="explained_variance", where={"kernel": kernel, "component": 0, "column": column}),
                ),
            )


def _by_group(column: str, rows: Sequence[tuple[int, Row]]) -> tuple[int, str]:
    told = [item for item in rows if item[1]["verdict"] in (HIGHER, LOWER)]
    tested = [item for item in rows if item[1]["q"] is not None]
    untested = sum(item[1]["verdict"] == TOO_LITTLE for item in rows)
    few = f" {untested} of {len(rows)} groups {verb(untested, 'has', 'have')} too few models." if untested else ""
    what = f"By {column.replace('_', ' ')}, the share of the first component of {kernel_phrase(rows[0][1]['kernel'])}"
    if told:
        position, row = min(told, key=lambda item: (item[1]["q"], item[0]))
        return position, (
            f"{what} is told apart for {len(told)} of {len(rows)} groups, most clearly for {row['group']}: "
            f"{row['along_all']:.1%} of {row['models']:,} models, {row['verdict']} than the {row['rest']:.1%} of other "
            f"layers (q = {row['q']:.2g}).{few}"
        )
    if not tested:
        return rows[0][0], f"{what} cannot be compared: no group has enough models."
    position, row = min(tested, key=lambda item: (item[1]["q"], item[0]))
    return position, f"{what} is not told apart for any of {len(tested)} groups (smallest q = {row['q']:.2g}).{few}"
