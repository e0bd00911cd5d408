"""The sentences of the analysis `effective`, each with the rows that it is derived from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from filtercrawl.api.analysis import Estimate, Finding
from filtercrawl_analysis.analyses.drift_tables import n_tests
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.model_medians import HIGHER, LOWER, NOT_TOLD_APART

Row = dict[str, Any]

STEPS: Final = "effective_steps"
DRIFT: Final = "effective_drift"
CHANGES: Final = "effective_quality"
_WORDS: Final = {
    "sparsity": "sparsity",
    "variance_entropy_norm": "normalized variance entropy",
    "orthogonality": "orthogonality",
}


def effective_findings(steps: Sequence[Row], drift: Sequence[Row], changes: Sequence[Row]) -> Iterator[Finding]:
    """Yield how many layers differ, whether kernels drift, and how quality changes, for the most frequent kernel size.

    Args:
        steps: The table `effective_steps`.
        drift: The table `effective_drift`.
        changes: The table `effective_quality`.
    """
    layers, share = sum(row["layers"] for row in steps), sum(row["share"] for row in steps)
    parts = ", ".join(f"{row['layers']:,} by {row['steps'].replace('_', ' ')}" for row in steps)
    verb = "layer is" if layers == 1 else "layers are"
    yield Finding(
        text=f"{layers:,} {verb} not convolved with as stored ({share:.0%} of those analyzed): {parts}.",
        table=STEPS,
        row=0,
        other_rows=tuple(range(1, len(steps))),
    )
    overall = [(i, row) for i, row in enumerate(drift) if row["column"] == "all"]
    if overall:
        yield _drift_finding(*overall[0], n_tests(drift))
    kernel = changes[0]["kernel"] if changes else None
    for i, row in enumerate(changes):
        if row["column"] == "all" and row["kernel"] == kernel:
            estimate = Estimate(
                label=f"median change of the {_WORDS[row['measure']]}, {kernel_phrase(row['kernel'])}",
                value=row["change"],
                low=row["low"],
                high=row["high"],
                q=row["q"],
            )
            yield Finding(
                text=_change_sentence(row), table=CHANGES, row=i, estimate=estimate, columns=(row["measure"],)
            )


def _drift_finding(position: int, row: Row, tests: int) -> Finding:
    what = f"effective {kernel_phrase(row['kernel'])}, each divided by its largest magnitude,"
    size = f"D {_number(row['drift'])}"
    if row["estimate"] is not None:
        interval = f"the 95 % interval from {_number(row['low'])} to {_number(row['high'])}"
        size += f", estimated drift {_number(row['estimate'])} with {interval}"
    size += f", {row['models']:,} model{'s' * (row['models'] != 1)}"
    if row["verdict"] == "differs":
        text = f"In distribution, {what} differ from the stored ones ({size}; q <= 0.05 among {tests} tests)."
    elif row["verdict"] == "no difference found":
        found = "" if row["detectable"] is None else f" A drift of {_number(row['detectable'])} would have been found."
        text = f"In distribution, {what} were not told from the stored ones ({size}).{found}"
    else:
        text = f"There is too little to tell whether {what} differ from the stored ones ({size}): {row['note']}."
    known = row["estimate"] is not None
    estimate = Estimate(
        label=f"{'estimated drift' if known else 'drift D'} of effective {kernel_phrase(row['kernel'])} from the "
        "stored ones",
        value=row["estimate"] if known else row["drift"],
        low=row["low"],
        high=row["high"],
        q=row["q"],
    )
    return Finding(text=text, table=DRIFT, row=position, estimate=estimate)


def _number(drift: float) -> str:
    return "0" if drift == 0 else "less than 0.001" if drift < 0.001 else f"{drift:.3f}"


def _change_sentence(row: Row) -> str:
    words = _WORDS[row["measure"]]
    interval = "" if row["low"] is None else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    numbers = (
        f"{row['stored']:.3f} stored, {row['effective']:.3f} effective, median change {row['change']:+.3f}{interval}"
    )
    models = f"{row['models']:,} model{'s' * (row['models'] != 1)}"
    of = f"of layers of {kernel_phrase(row['kernel'])}"
    if row["verdict"] in (HIGHER, LOWER):
        return f"The {words} {of} is {row['verdict']} in effective weights than in stored ones: {numbers} ({models})."
    if row["verdict"] == NOT_TOLD_APART:
        return f"No change of the {words} {of} was found between stored and effective weights: {numbers} ({models})."
    return f"Whether the {words} {of} changes between stored and effective weights, {models} cannot tell: {numbers}."
