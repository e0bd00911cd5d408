"""The analysis `accuracy`: quality of kernels against the accuracy that sources state, over all and within families."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable, SampleSize
from filtercrawl_analysis.analyses.accuracy_findings import TABLE, accuracy_findings
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.accuracy import accuracy_scatters, correlation_intervals
from filtercrawl_analysis.statistics.accuracy.correlations import (
    CORRELATIONS,
    FAMILIES,
    MIN_MODELS,
    MODELS,
    AccuracyTables,
    correlate,
)
from filtercrawl_analysis.statistics.accuracy.model_measures import MEASURES, model_measures
from filtercrawl_analysis.statistics.accuracy.stated_metrics import stated_metrics

Row = dict[str, Any]

# Metrics with figures: those that most models state.
MAX_METRICS: Final = 2
_CORRELATION: Final = (
    "rho: Spearman's rank correlation with its 95 % interval (Fisher's, with the variance of Bonett and Wright 2000); "
    "within families the mean over families of three or more models, weighted by n - 1. p: permutations of the "
    "metric, within families among the models of each, over all of the means of families too, as models of one are "
    "not independent; q: adjusted for all rows (Benjamini and Hochberg). Verdict: "
    "rises or falls where q is at most 0.05; none where the interval is within 0.3 of 0; else unclear. Checkpoints of "
    "one family are not independent if one was trained from another."
)
_MODELS: Final = (
    "Stated metrics, as the source gives them, with the measures of the model's layers of more than one tap. "
    "sparsity: share of dead kernels. variance_entropy (normalized) and orthogonality: medians over layers. "
    "weight_rms: root mean square of the weights. weight_peak: median over layers of the largest magnitude over the "
    "root mean square. family_drift: drift D from the pooled kernels of the family's other models, in the most "
    "frequent kernel size that they share."
)


def analyze(dataset: DatasetView) -> Result:
    """Correlate measures of the kernels of models with their stated accuracy."""
    dataset.progress(0, 2, "accuracy, measures")
    models = dataset.models
    stated = stated_metrics(models["model_id"].to_pylist(), models["metrics"].to_pylist())
    analyzed = set(dataset.index["model_id"].to_pylist())
    counts = Counter(metric.metric for metric in stated if metric.model_id in analyzed)
    if not counts or max(counts.values()) < MIN_MODELS:
        return empty_result(f"no accuracy that {MIN_MODELS} or more models state")
    families = dict(zip(models["model_id"].to_pylist(), models["family"].to_pylist(), strict=True))
    options = dataset.options
    measures = model_measures(dataset)
    dataset.progress(1, 2, "accuracy, correlations")
    found = correlate(stated, measures, families, options.resamples, options.seed)
    dataset.progress(2, 2, "accuracy")
    if not found.correlations:
        return empty_result("no measure that differs between models that state an accuracy")
    return Result(
        tables=(
            ResultTable(
                name=TABLE,
                title="Quality of kernels against stated accuracy",
                rows=pa.Table.from_pylist(found.correlations, schema=CORRELATIONS),
                about=_CORRELATION,
            ),
            ResultTable(
                name="accuracy_families",
                title="Rank correlation with stated accuracy in each family",
                rows=pa.Table.from_pylist(found.families, schema=FAMILIES),
                about="Families of three or more models in which neither is the same for all.",
            ),
            ResultTable(
                name="accuracy_models",
                title="Stated accuracy and measures of models",
                rows=pa.Table.from_pylist(found.models, schema=MODELS),
                about=_MODELS,
            ),
        ),
        figures=tuple(_figures(dataset, found)),
        findings=tuple(accuracy_findings(found.correlations)),
    )


def _figures(dataset: DatasetView, found: AccuracyTables) -> Iterator[Figure]:
    tested = {row["metric"] for row in found.correlations}
    counts = Counter(row["metric"] for row in found.models if row["metric"] in tested)
    for number, (metric, _) in enumerate(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_METRICS]):
        models = [row for row in found.models if row["metric"] == metric]
        correlations = [row for row in found.correlations if row["metric"] == metric]
        basis = _basis(dataset, models)
        yield Figure(
            name=f"accuracy_correlation_{number + 1}",
            title=f"Rank correlation with {metric}",
            caption="Rank correlation of each measure with its 95 % interval, over all models and within families; "
            "filled where it is told from none. Where only the one over all models is, it is the families that differ.",
            basis=basis,
            table=TABLE,
            draw=partial(correlation_intervals, rows=correlations),
            height=1.4 + 0.45 * len({row["measure"] for row in correlations}),
        )
        measures = [name for name in MEASURES if any(row["measure"] == name for row in correlations)]
        yield Figure(
            name=f"accuracy_{number + 1}",
            title=f"Measures of kernels against {metric}",
            caption="One mark a model; color and shape show the families with the most models, and dots all others.",
            basis=basis,
            table="accuracy_models",
            draw=partial(accuracy_scatters, models=models, measures=measures),
            height=0.9 + 2.3 * ((len(measures) + 1) // 2),
        )


def _basis(dataset: DatasetView, models: Sequence[Row]) -> SampleSize:
    names = {row["model_id"] for row in models}
    index = dataset.index.select(["model_id", "n_kernels", "taps"]).to_pylist()
    layers = [row["n_kernels"] for row in index if row["taps"] > 1 and row["model_id"] in names]
    return SampleSize(kernels=sum(layers), layers=len(layers), models=len(names))
