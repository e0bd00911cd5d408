"""Sentences on the distance of models from their family, each derived from one row of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from filtercrawl.api.analysis import CitedRows, Estimate, Finding
from filtercrawl.api.formatting import format_plural, verb
from filtercrawl_analysis.statistics.family.family_rows import Row
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase


def family_findings(rows: Sequence[Row], table: str) -> Iterator[Finding]:
    """Yield findings on the kernel size with the most kernels: the models that are farthest for their families.

    The first is on families that are large enough for a verdict, the second on those that are not.

    Args:
        rows: The rows of the table.
        table: Its name.
    """
    measured = [row for row in rows if row["distance"] is not None and row["models"] > 2]
    if not measured:
        return
    kernel = measured[0]["kernel"]
    here = [row for row in measured if row["kernel"] == kernel]
    tested = [row for row in here if row["q"] is not None]
    differing = [row for row in here if row["verdict"] == "differs"]
    if tested:
        top = min(differing or tested, key=lambda row: row["p"])
        cited = (_differing(kernel, table),) if len(differing) > 1 else ()
        yield _finding(_lead(kernel, tested, differing), top, table, rows.index(top), cited)
    small = [row for row in here if row["q"] is None]
    if small:
        top = max(small, key=_ratio)
        yield _finding(_lead_of_small(kernel, small), top, table, rows.index(top))


def _finding(lead: str, top: Row, table: str, position: int, cited: tuple[CitedRows, ...] = ()) -> Finding:
    times = _times(top)
    note = f"median of the others {_number(top['others_median'])}, up to {_number(top['others_high'])}"
    verdict = "" if top["q"] is not None else "; too few models for a verdict"
    return Finding(
        text=f"{lead} {_describe(top)}",
        table=table,
        row=position,
        estimate=Estimate(
            label=f"distance D of {top['model_id']} from the other models of {top['family']}{times}",
            value=top["distance"],
            q=top["q"],
            note=f"{note}{verdict}",
        ),
        columns=("family",),
        cited_rows=cited,
    )


def _differing(kernel: str, table: str) -> CitedRows:
    return CitedRows(table=table, where={"kernel": kernel, "verdict": "differs"})


def _lead(kernel: str, tested: Sequence[Row], differing: Sequence[Row]) -> str:
    kernels, tests = kernel_phrase(kernel), format_plural(len(tested), "model")
    if differing:
        n = len(differing)
        return (
            f"In their {kernels}, {n:,} of {tests} {verb(n, 'differs', 'differ')} from the rest of their family "
            "(q <= 0.05). The clearest:"
        )
    return f"In their {kernels}, none of {tests} is told apart from the rest of its family. The least likely:"


def _lead_of_small(kernel: str, small: Sequence[Row]) -> str:
    n = len({row["family"] for row in small})
    return (
        f"{n:,} {verb(n, 'family has', 'families have')} too few models to tell whether the {kernel_phrase(kernel)} of "
        "one differ. Farthest, compared with the others:"
    )


def _describe(row: Row) -> str:
    others = f"{_number(row['others_low'])} to {_number(row['others_high'])}"
    q = "" if row["q"] is None else f"; q = {_number(row['q'])}"
    return (
        f"{row['model_id']}, distance {_number(row['distance'])}{_times(row)} from the rest of {row['family']} "
        f"({format_plural(row['models'], 'model')}), whose own distances have the median "
        f"{_number(row['others_median'])} and range from {others}{q}."
    )


def _times(row: Row) -> str:
    return "" if row["times_median"] is None else f" ({_number(row['times_median'])} times the median of the others)"


def _ratio(row: Row) -> float:
    if row["times_median"] is None:  # the median is 0
        return inf if row["distance"] > 0 else 0.0
    ratio: float = row["times_median"]
    return ratio


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"
