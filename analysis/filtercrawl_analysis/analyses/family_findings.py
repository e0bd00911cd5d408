"""Sentences on the distance of models from their family, each derived from one row of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from filtercrawl.api.analysis import CitedRows, Estimate, Finding
from filtercrawl.api.formatting import format_plural, verb
from filtercrawl_analysis.statistics.family.family_rows import Row
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase


def family_findings(rows: Sequence[Row], table: str) -> Iterator[Finding]:
    """Yield a finding on the kernel size with the most kernels: the model that is farthest for its family.

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
    top = min(tested, key=lambda row: row["p"]) if tested else max(here, key=_ratio)
    if differing:
        top = min(differing, key=lambda row: row["p"])
    yield Finding(
        text=f"{_lead(kernel, here, tested, differing)} {_describe(top)}",
        table=table,
        row=rows.index(top),
        estimate=Estimate(
            label=f"distance D of {top['model_id']} from the other models of {top['family']}",
            value=top["distance"],
            q=top["q"],
            note=f"median of the others {_number(top['others_median'])}, up to {_number(top['others_high'])}",
        ),
        columns=("family",),
        cited_rows=(_differing(kernel, table),) if len(differing) > 1 else (),
    )


def _differing(kernel: str, table: str) -> CitedRows:
    return CitedRows(table=table, where={"kernel": kernel, "verdict": "differs"})


def _lead(kernel: str, here: Sequence[Row], tested: Sequence[Row], differing: Sequence[Row]) -> str:
    kernels, tests = kernel_phrase(kernel), format_plural(len(tested), "model")
    if differing:
        n = len(differing)
        return (
            f"In their {kernels}, {n:,} of {tests} {verb(n, 'differs', 'differ')} from the rest of their family "
            "(q <= 0.05). The clearest:"
        )
    if tested:
        return f"In their {kernels}, none of {tests} is told apart from the rest of its family. The least likely:"
    n = len({row["family"] for row in here})
    return (
        f"{n:,} {verb(n, 'family has', 'families have')} too few models to tell whether the {kernels} of one differ. "
        "Farthest, compared with the others:"
    )


def _describe(row: Row) -> str:
    others = f"{_number(row['others_low'])} to {_number(row['others_high'])}"
    q = "" if row["q"] is None else f"; q = {_number(row['q'])}"
    return (
        f"{row['model_id']}, distance {_number(row['distance'])} from the rest of {row['family']} "
        f"({format_plural(row['models'], 'model')}), whose own distances have the median "
        f"{_number(row['others_median'])} and range from {others}{q}."
    )


def _ratio(row: Row) -> float:
    ratio: float = row["distance"] / max(row["others_median"], 1e-12)
    return ratio


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"
