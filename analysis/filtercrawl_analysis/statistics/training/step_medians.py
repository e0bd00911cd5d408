"""Numbers of layers over the steps of training runs: which of them change, and their quartiles at each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.numerics.moments import Array

# Runs that are summarized, those of the most steps, and columns, those that change most.
MAX_RUNS: Final = 4
MAX_COLUMNS: Final = 6
# Columns of these beginnings are p-values and the like, which say nothing of a layer alone.
_TESTS: Final = ("p_", "q_", "power")


@dataclass(frozen=True, kw_only=True)
class StepMedians:
    """One number of the layers of a run by step.

    Attributes:
        column: Its column.
        run_id: The run.
        steps: The steps, ascending [steps].
        quartiles: First quartile, median and third quartile over the layers [3, steps]; NaN where all are unknown.
    """

    column: str
    run_id: str
    steps: Array
    quartiles: Array


def step_medians(rows: pa.Table) -> list[StepMedians]:
    """Return the quartiles over layers of the numbers that change most from the first to the last step.

    Change is the difference of the medians at both ends, in units of the standard deviation over all layers and steps;
    of several runs the largest counts.

    Args:
        rows: Rows of layers with the columns `run_id` and `step`.
    """
    runs, steps = (np.array(rows[name].to_pylist()) for name in ("run_id", "step"))
    counts = Counter(run for run, _ in set(zip(runs.tolist(), steps.tolist(), strict=True)))
    shown = sorted(counts, key=lambda run: (-counts[run], run))[:MAX_RUNS]
    found: list[tuple[float, list[StepMedians]]] = []
    for field in rows.schema:
        if not pa.types.is_floating(field.type) or field.name.startswith(_TESTS):
            continue
        values = rows[field.name].to_numpy().astype(np.float64)
        curves = [_curve(field.name, run, steps[runs == run], values[runs == run]) for run in shown]
        spread = float(np.std(values[np.isfinite(values)])) if np.isfinite(values).any() else 0.0
        change = max((abs(end - start) for curve in curves for start, end in _ends(curve)), default=0.0)
        if spread and change:
            found.append((change / spread, curves))
    found.sort(key=lambda item: -item[0])
    return [curve for _, curves in found[:MAX_COLUMNS] for curve in curves]


def _curve(column: str, run_id: str, steps: Array, values: Array) -> StepMedians:
    at = np.unique(steps)
    quartiles = np.full((3, len(at)), np.nan)
    for i, step in enumerate(at):
        known = values[(steps == step) & np.isfinite(values)]
        if known.size:
            quartiles[:, i] = np.quantile(known, (0.25, 0.5, 0.75))
    return StepMedians(column=column, run_id=run_id, steps=at.astype(np.float64), quartiles=quartiles)


def _ends(curve: StepMedians) -> Iterator[tuple[float, float]]:
    start, end = curve.quartiles[1, [0, -1]].tolist()
    if np.isfinite([start, end]).all():
        yield start, end
