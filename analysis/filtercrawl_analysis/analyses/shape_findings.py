"""Findings of the analysis `shape`, each derived from a row of the table of medians over models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import CitedRows, Estimate, Finding
from filtercrawl.api.formatting import verb
from filtercrawl_analysis.statistics.groups.group_medians import ALL
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.model_medians import HIGHER, LOWER, NOT_TOLD_APART, TOO_LITTLE

TABLE: Final = "shape_medians"
MEASURE: Final = "low_share"
_AGAINST: Final = {
    HIGHER: "more than the {:.0%} of random weights",
    LOWER: "less than the {:.0%} of random weights",
    NOT_TOLD_APART: "not told apart from the {:.0%} of random weights",
    TOO_LITTLE: "too few models to compare with the {:.0%} of random weights",
}


def shape_findings(medians: pa.Table, kernel: str) -> Iterator[Finding]:
    """Yield what the energy at low frequencies of one kernel size shows: against random weights, and by group.

    Args:
        medians: Rows of `GROUP_MEDIANS`.
        kernel: The kernel size.
    """
    rows = [
        (position, row)
        for position, row in enumerate(medians.to_pylist())
        if row["kernel"] == kernel and row["measure"] == MEASURE
    ]
    by_column: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for position, row in rows:
        by_column.setdefault(row["column"], []).append((position, row))
    for column, of_column in by_column.items():
        position, text = _overall(*of_column[0]) if column == ALL else _by_group(column, of_column)
        estimate = _estimate(medians.slice(position, 1).to_pylist()[0])
        columns = () if column == ALL else (column,)
        figure = f"frequency_{kernel}" if column == ALL else None
        groups = CitedRows(table=TABLE, where={"kernel": kernel, "measure": MEASURE, "column": column})
        yield Finding(
            text=text,
            table=TABLE,
            row=position,
            estimate=estimate,
            columns=columns,
            figure=figure,
            cited_rows=(groups,) if len(of_column) > 1 else (),
        )


def _estimate(row: dict[str, Any]) -> Estimate:
    overall = row["column"] == ALL
    where = "in the median model" if overall else f"{row['column'].replace('_', ' ')} {row['group']}"
    return Estimate(
        label=f"of the energy of {kernel_phrase(row['kernel'])} lies at low frequencies, {where}",
        value=row["median"],
        low=row["low"],
        high=row["high"],
        q=row["q_random"] if overall else row["q"],
        percent=True,
    )


def _overall(position: int, row: dict[str, Any]) -> tuple[int, str]:
    against = _AGAINST[row["against_random"]].format(row["random_weights"])
    return position, (
        f"In the median model ({_models(row['models'])}), {row['median']:.0%}{_interval(row)} of the energy of "
        f"{kernel_phrase(row['kernel'])} lies at low frequencies: {against}."
    )


def _by_group(column: str, rows: list[tuple[int, dict[str, Any]]]) -> tuple[int, str]:
    """Return the row with the smallest q, and what can be said of all groups."""
    told = [item for item in rows if item[1]["verdict"] in (HIGHER, LOWER)]
    untested = sum(item[1]["verdict"] == TOO_LITTLE for item in rows)
    words = f"energy of {kernel_phrase(rows[0][1]['kernel'])} at low frequencies"
    by = f"By {column.replace('_', ' ')}, the {words}"
    few = f" {untested} of {len(rows)} groups {verb(untested, 'has', 'have')} too few models." if untested else ""
    if told:
        position, row = min(told, key=lambda item: (item[1]["q"], item[0]))
        return position, (
            f"{by} is told apart for {len(told)} of {len(rows)} groups, most clearly for {row['group']}: "
            f"{row['median']:.0%}{_interval(row)} in the median of {_models(row['models'])}, {row['verdict']} than the "
            f"{row['rest']:.0%} of other layers (q = {row['q']:.2g}).{few}"
        )
    tested = [item for item in rows if item[1]["q"] is not None]
    if not tested:
        return rows[0][0], f"{by} cannot be compared: no group has enough models."
    position, row = min(tested, key=lambda item: (item[1]["q"], item[0]))
    return position, f"{by} is not told apart for any of {len(tested)} groups (smallest q = {row['q']:.2g}).{few}"


def _interval(row: dict[str, Any]) -> str:
    return "" if row["low"] is None else f" [{row['low']:.0%}, {row['high']:.0%}]"


def _models(count: int) -> str:
    return f"{count:,} model{'s' * (count != 1)}"
