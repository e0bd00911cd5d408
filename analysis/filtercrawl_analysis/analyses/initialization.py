"""The analysis `initialization`: weights against the usual initial distributions, and models that look untrained."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.initialization_findings import initialization_findings
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.initialization import weight_moments_scatter
from filtercrawl_analysis.statistics.groups.labels import sample_size
from filtercrawl_analysis.statistics.initialization.layers import layer_initialization, model_initialization
from filtercrawl_analysis.statistics.quality.group_summary import summarize_by_columns

NUMBERS: Final = ("law_distance", "std_over_he", "kurtosis", "kernel_correlation")
_LAYERS: Final = (
    "Moments of the finite weights (kurtosis: excess, 0 normal, -1.2 uniform); std_error: relative standard error "
    "of the standard deviation; std over that of He (fan in), Glorot and torch's default initialization. "
    "nearest_law: the initial distribution of the least law_distance = |log std_ratio| + shape_distance, where "
    "std_ratio is the standard deviation over that of the distribution and shape_distance the mean difference of "
    "quantiles of standardized sampled weights. kernel_correlation: root mean square correlation of two taps; of "
    "independent ones kernel_correlation_of_random. bound_ratio: largest magnitude over the largest that nearest_law "
    "has. close_laws: distributions that the layer is close to: standard deviation within 1 % or three standard "
    "errors, kurtosis and quantiles too, and kernels not told from random weights; null where the standard error is "
    "above 2 % or the layer too small to be told from random ones. untrained_laws: those of them that it may be a "
    "draw from: no weights beyond their bound. Folded batch normalization changes all of them."
)
_MODELS: Final = (
    "looks untrained: more than half of the judged layers, with more than half of the model's weights, may be "
    "draws from one initial distribution (law). close to initialization: they are close to it, but some of them hold "
    "weights beyond its bound, which no draw does. too small: judged layers hold at most half of the weights. "
    "differs: neither. near_layers: layers whose nearest distribution it is, with a standard deviation within 2 % "
    "of it."
)


def analyze(dataset: DatasetView) -> Result:
    """Compare the weights of each layer with the usual initial distributions, and name models that look untrained."""
    layers = layer_initialization(dataset)
    if not len(layers):
        return empty_result("no learned kernels of more than one tap")
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    models = model_initialization(layers)
    tables = (
        ResultTable(
            name="layer_weights", title="Weights of every layer against initializations", rows=layers, about=_LAYERS
        ),
        ResultTable(
            name="model_initialization",
            title="Models against initializations",
            rows=models,
            about=_MODELS,
        ),
        ResultTable(
            name="group_weights",
            title="Weights against initializations, by group",
            rows=summarize_by_columns(layers, index, dataset.options.by, NUMBERS),
            about="Quartiles over layers. " + _LAYERS,
        ),
    )
    figures = tuple(_figures(layers))
    shown = figures[0].name if figures else None
    return Result(tables=tables, figures=figures, findings=tuple(initialization_findings(models, shown)))


def _figures(table: pa.Table) -> Iterator[Figure]:
    known = table.filter(pc.is_valid(table["std"]))
    if len(known):
        yield Figure(
            name="initialization",
            title="Weights of layers and initial distributions",
            caption="One mark per layer: standard deviation over that of He initialization, and excess kurtosis. "
            "Untrained layers lie at the crosses.",
            basis=sample_size(known),
            table="layer_weights",
            draw=partial(
                weight_moments_scatter, ratio=known["std_over_he"].to_numpy(), kurtosis=known["kurtosis"].to_numpy()
            ),
        )
