"""The analysis `training`: how kernels change over the steps of training runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable, SampleSize, TrainingStep
from filtercrawl.api.errors import DatasetError
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.analyses.training_findings import TABLE, training_findings
from filtercrawl_analysis.plots.training import kernels_by_step, training_curves
from filtercrawl_analysis.statistics.accuracy.stated_metrics import stated_metrics
from filtercrawl_analysis.statistics.training.emerging_kernels import emerging_kernels
from filtercrawl_analysis.statistics.training.layer_steps import LAYERS, layer_steps
from filtercrawl_analysis.statistics.training.run_steps import STEPS, run_steps

Row = dict[str, Any]

# Runs with figures, those of the most steps.
MAX_RUNS: Final = 2
_LAYERS: Final = (
    "drift_from_first, drift_from_last: drift D from the same layer at the first and the last step, from sketches. "
    "floor: the D of two draws of one distribution with as many kernels. explained_variance: share of the first "
    "principal component of the scaled kernels; component_cosine: of that component with the one of the last step, "
    "without its sign."
)


def analyze(dataset: DatasetView) -> Result:
    """Follow the layers of training runs over their steps."""
    dataset.progress(0, 1, "training")
    steps = dataset.steps()
    if not steps:
        return empty_result("no training run has two or more checkpoints")
    index = pa.concat_tables([step.dataset.index for step in steps])
    layers = list(layer_steps(dataset, index.filter(pc.greater(index["taps"], 1))))
    if not layers:
        return empty_result("no layer of a training run has kernels of more than one tap at two steps")
    known = {step.model_id for step in steps}
    models = dataset.models.select(["model_id", "metrics"]).to_pylist()
    of_steps = [row for row in models if row["model_id"] in known]
    stated = stated_metrics([row["model_id"] for row in of_steps], [row["metrics"] for row in of_steps])
    rows = run_steps(steps, layers, stated)
    figures = tuple(_figures(steps, rows, layers))
    dataset.progress(1, 1, "training")
    return Result(
        tables=(
            ResultTable(
                name=TABLE,
                title="Training runs by step",
                rows=pa.Table.from_pylist(rows, schema=STEPS),
                about="Of drifts, components and dead kernels the means over layers, weighted by their kernels; of "
                "entropy and orthogonality the medians. " + _LAYERS,
            ),
            ResultTable(
                name="training_layers",
                title="Layers of training runs by step",
                rows=pa.Table.from_pylist(layers, schema=LAYERS),
                about=_LAYERS,
            ),
        ),
        figures=figures,
        findings=tuple(training_findings(rows, layers)),
    )


def _figures(steps: Sequence[TrainingStep], rows: Sequence[Row], layers: Sequence[Row]) -> Iterator[Figure]:
    by_run: dict[str, list[TrainingStep]] = {}
    for step in steps:
        by_run.setdefault(step.run_id, []).append(step)
    shown = sorted(by_run.items(), key=lambda item: (-len(item[1]), item[0]))[:MAX_RUNS]
    for number, (run_id, of_run) in enumerate(shown, 1):
        mine = [row for row in rows if row["run_id"] == run_id]
        yield Figure(
            name=f"training_{number}",
            title=f"Run {run_id} by training step",
            caption="Means and medians over layers, as in the table; thin lines are single layers. The drift is from "
            "the kernels of the first and of the last step; the floor is the drift of two draws of one distribution.",
            basis=SampleSize(
                kernels=sum(row["kernels"] for row in mine), layers=sum(row["layers"] for row in mine), models=len(mine)
            ),
            table=TABLE,
            draw=partial(training_curves, steps=mine, layers=[row for row in layers if row["run_id"] == run_id]),
            height=7.0,
        )
        try:
            emerging = emerging_kernels(of_run)
        except DatasetError:  # a nightly run starts without the layers files of earlier versions
            continue
        if emerging is not None:
            n_kernels, n_steps, _ = emerging.kernels.shape
            yield Figure(
                name=f"emerging_{number}",
                title=f"Kernels of the layer {emerging.layer} in run {run_id} by training step",
                caption="One row a kernel, one column a step; blue is negative, orange positive, each picture with its "
                f"own scale. The {n_kernels} kernels, of {emerging.n_kernels}, with the largest norm at the last step.",
                basis=SampleSize(kernels=n_kernels * n_steps, layers=n_steps, models=n_steps),
                table=TABLE,
                draw=partial(
                    kernels_by_step,
                    kernels=emerging.kernels,
                    kernel_size=emerging.kernel_size,
                    steps=emerging.steps,
                ),
                height=0.8 + 6.2 * n_kernels / n_steps * emerging.kernel_size[0] / emerging.kernel_size[1],
            )
