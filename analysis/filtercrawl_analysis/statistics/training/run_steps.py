"""Training runs by step: means and medians over the layers of each checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import TrainingStep
from filtercrawl_analysis.statistics.accuracy.stated_metrics import StatedMetric

Row = dict[str, Any]

STEPS: Final = pa.schema(
    [
        ("run_id", pa.string()), ("step", pa.int64()), ("model_id", pa.string()), ("layers", pa.int64()),
        ("kernels", pa.int64()), ("drift_from_first", pa.float64()), ("drift_from_last", pa.float64()),
        ("floor", pa.float64()), ("explained_variance", pa.float64()), ("component_cosine", pa.float64()),
        ("sparsity", pa.float64()), ("variance_entropy_norm", pa.float64()), ("orthogonality", pa.float64()),
        ("weight_rms", pa.float64()), ("metric", pa.string()), ("value", pa.float64()),
    ]
)  # fmt: skip
_MEANS: Final = ("drift_from_first", "drift_from_last", "floor", "explained_variance", "component_cosine", "sparsity")
_MEDIANS: Final = ("variance_entropy_norm", "orthogonality")


def run_steps(steps: Sequence[TrainingStep], layers: Sequence[Row], stated: Sequence[StatedMetric]) -> list[Row]:
    """Return a row for each step of each run.

    Drifts, components and dead kernels are means over layers, weighted by their kernels; entropy and orthogonality are
    medians over layers. The metric is the one that most steps of the run state.

    Args:
        steps: The steps, by run and step.
        layers: The rows of `layer_steps`.
        stated: The metrics of their checkpoints.
    """
    of_step: dict[tuple[str, int], list[Row]] = {}
    for row in layers:
        of_step.setdefault((row["run_id"], row["step"]), []).append(row)
    metrics = _metric_of_runs(steps, stated)
    values = {(metric.model_id, metric.metric): metric.value for metric in stated}
    found = []
    for step in steps:
        members = of_step.get((step.run_id, step.step), [])
        metric = metrics.get(step.run_id)
        value = None if metric is None else values.get((step.model_id, metric))
        found.append(
            {
                "run_id": step.run_id,
                "step": step.step,
                "model_id": step.model_id,
                "layers": len(members),
                "kernels": sum(row["n_kernels"] for row in members),
                **{name: _weighted_mean(members, name) for name in _MEANS},
                **{name: _median(members, name) for name in _MEDIANS},
                "weight_rms": _weight_rms(step),
                "metric": None if value is None else metric,
                "value": value,
            }
        )
    return found


def _metric_of_runs(steps: Sequence[TrainingStep], stated: Sequence[StatedMetric]) -> Mapping[str, str]:
    run_of = {step.model_id: step.run_id for step in steps}
    counts: dict[str, dict[str, int]] = {}
    for metric in stated:
        if metric.model_id in run_of:
            of_run = counts.setdefault(run_of[metric.model_id], {})
            of_run[metric.metric] = of_run.get(metric.metric, 0) + 1
    return {run: min(found, key=lambda name: (-found[name], name)) for run, found in counts.items()}


def _weighted_mean(rows: Sequence[Row], name: str) -> float | None:
    known = [(row["n_kernels"], row[name]) for row in rows if row[name] is not None]
    kernels = sum(n for n, _ in known)
    return sum(n * value for n, value in known) / kernels if kernels else None


def _median(rows: Sequence[Row], name: str) -> float | None:
    known = [row[name] for row in rows if row[name] is not None]
    return median(known) if known else None


def _weight_rms(step: TrainingStep) -> float | None:
    rows = step.dataset.index.select(["norm_l2", "n_kernels", "taps"]).to_pylist()
    known = [row for row in rows if row["norm_l2"] is not None and row["taps"] > 1]
    numbers = sum(row["n_kernels"] * row["taps"] for row in known)
    return math.sqrt(sum(row["norm_l2"] ** 2 for row in known) / numbers) if numbers else None
