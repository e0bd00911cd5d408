"""The sentences of the analysis `accuracy`, each with the rows that it is derived from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from filtercrawl.api.analysis import Estimate, Finding
from filtercrawl.api.formatting import verb
from filtercrawl_analysis.statistics.accuracy.correlations import ALL, FALLS, NONE, RISES, UNCLEAR, WEAK, WITHIN
from filtercrawl_analysis.statistics.accuracy.model_measures import MEASURES

Row = dict[str, Any]

TABLE: Final = "accuracy_correlation"
# Pairs of a metric and a measure that get a sentence of their own.
MAX_SENTENCES: Final = 8
_FOUND: Final = (RISES, FALLS)


def accuracy_findings(rows: Sequence[Row]) -> Iterator[Finding]:
    """Yield a sentence for each metric and measure that go together, within families first, then what did not.

    Args:
        rows: The table `accuracy_correlation`.
    """
    at = {(row["metric"], row["measure"], row["scope"]): position for position, row in enumerate(rows)}
    pairs = list(dict.fromkeys((row["metric"], row["measure"]) for row in rows))
    within = [pair for pair in pairs if _verdict(rows, at, pair, WITHIN) in _FOUND]
    between = [pair for pair in pairs if pair not in within and _verdict(rows, at, pair, ALL) in _FOUND]
    ranked = [
        *sorted(within, key=lambda pair: -abs(rows[at[*pair, WITHIN]]["rho"])),
        *sorted(between, key=lambda pair: -abs(rows[at[*pair, ALL]]["rho"])),
    ]
    for pair in ranked[:MAX_SENTENCES]:
        position, other = (at.get((*pair, scope)) for scope in (WITHIN, ALL))
        if pair in within:
            assert position is not None
            row = rows[position]
            yield Finding(
                text=_within_sentence(row), table=TABLE, row=position, estimate=_estimate(row, "within families")
            )
        else:
            assert other is not None
            text = _between_sentence(rows[other], None if position is None else rows[position])
            yield Finding(
                text=text,
                table=TABLE,
                row=other,
                other_rows=() if position is None else (position,),
                estimate=_estimate(rows[other], "over all models"),
            )
    yield _rest(rows)


def _verdict(rows: Sequence[Row], at: dict[tuple[str, str, str], int], pair: tuple[str, str], scope: str) -> str | None:
    position = at.get((*pair, scope))
    return None if position is None else rows[position]["verdict"]


def _within_sentence(row: Row) -> str:
    return (
        f"Within families, {row['metric']} {row['verdict']} with {MEASURES[row['measure']]}: the mean rank correlation "
        f"is {_number(row)}, over {row['models']} models of {_count(row['families'], 'family', 'families')}."
    )


def _between_sentence(row: Row, within: Row | None) -> str:
    """Say that a correlation is over all models, and what is known of it within families."""
    start = (
        f"Over all {row['models']} models, {row['metric']} {row['verdict']} with {MEASURES[row['measure']]} (rank "
        f"correlation {_number(row)})"
    )
    if within is None:
        return f"{start}; too few models share a family to tell whether it does within families."
    known = f"{_number(within)}, {_count(within['families'], 'family', 'families')}"
    if within["verdict"] == NONE:
        return f"{start}, but not within families ({known}): it is families that differ in both."
    return f"{start}; within families it is unclear ({known}), so that families may only differ in both."


def _rest(rows: Sequence[Row]) -> Finding:
    verdicts = [row["verdict"] for row in rows if row["scope"] == WITHIN]
    tests = f"{_count(len(rows), 'rank correlation', 'rank correlations')} with stated accuracy tested"
    if not verdicts:
        return Finding(text=f"{tests}, none within families: too few models share one.")
    found = sum(verdict in _FOUND for verdict in verdicts)
    n_none = verdicts.count(NONE)
    return Finding(
        text=f"{tests}. Of the {len(verdicts)} within families, {found} {verb(found, 'differs', 'differ')} "
        f"from 0, {n_none} {verb(n_none, 'is', 'are')} at most weak (within {WEAK} of 0), and "
        f"{verdicts.count(UNCLEAR)} cannot be told."
    )


def _estimate(row: Row, where: str) -> Estimate:
    return Estimate(
        label=f"rank correlation of {row['metric']} and {MEASURES[row['measure']]}, {where}",
        value=row["rho"],
        low=row["low"],
        high=row["high"],
        q=row["q"],
    )


def _number(row: Row) -> str:
    return f"{row['rho']:.2f}, 95 % interval {row['low']:.2f} to {row['high']:.2f}, q = {row['q']:.2g}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
