"""The analysis `initialisation`: moments of weights against those of the usual initial distributions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.initialisation import weight_moments_scatter
from filtercrawl_analysis.statistics.coefficients import iter_sketches
from filtercrawl_analysis.statistics.group_summary import summarize_by_columns
from filtercrawl_analysis.statistics.groups import sample_size
from filtercrawl_analysis.statistics.init_distributions import init_distributions, is_consistent, weight_moments

NUMBERS: Final = ("std_over_he", "kurtosis", "skewness")
# With fewer weights, nearly every distribution is consistent.
MIN_WEIGHTS: Final = 200
_INDEX_COLUMNS: Final = ("layer_id", "model_id", "kernel", "n_kernels", "depth_decile")
_MOMENT_COLUMNS: Final = (
    "mean", "std", "skewness", "kurtosis", "max_abs", "std_over_he", "std_over_glorot", "std_over_torch_default",
)  # fmt: skip
_ABOUT: Final = (
    "Mean, standard deviation, skewness and excess kurtosis (0 normal, -1.2 uniform) of the finite weights; the "
    "standard deviation over that of He (fan in), Glorot and torch's default initialization. laws: distributions "
    "whose mean, standard deviation and kurtosis are within four standard errors of the weights'; null below 200 "
    "weights. Folded batch normalization changes all of them."
)


def analyze(dataset: DatasetView) -> Result:
    """Compare the moments of each layer's weights with those of the usual initial distributions."""
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    if not len(index):
        return empty_result("no learned kernels of more than one tap")
    rows = [_row(*pair) for pair in _rows_with_power_sums(dataset, index)]
    fields = [index.schema.field(name) for name in _INDEX_COLUMNS]
    numbers = [pa.field(name, pa.float64()) for name in _MOMENT_COLUMNS]
    laws_field = pa.field("laws", pa.list_(pa.string()))
    table = pa.Table.from_pylist(
        rows, schema=pa.schema([*fields, pa.field("n_weights", pa.int64()), *numbers, laws_field])
    )
    about = "Quartiles over layers. " + _ABOUT
    tables = (
        ResultTable(
            name="layer_weights", title="Weights of every layer against initializations", rows=table, about=_ABOUT
        ),
        ResultTable(
            name="group_weights",
            title="Weights against initializations, by group",
            rows=summarize_by_columns(table, index, dataset.options.by, NUMBERS),
            about=about,
        ),
    )
    return Result(tables=tables, figures=tuple(_figures(table)), findings=(_finding(table),))


def _rows_with_power_sums(dataset: DatasetView, index: pa.Table) -> Iterator[tuple[dict[str, Any], list[float], float]]:
    for batch, sketches in iter_sketches(dataset, index):
        layers = index.slice(batch.start, batch.stop - batch.start).select([*_INDEX_COLUMNS, "shape"]).to_pylist()
        yield from zip(layers, sketches["power_sums"].to_pylist(), sketches["max_abs"].to_pylist(), strict=True)
        dataset.progress(batch.stop, len(index), "weights against initializations")


def _row(layer: dict[str, Any], power_sums: list[float], max_abs: float) -> dict[str, Any]:
    moments = weight_moments(power_sums, max_abs)
    row = {name: layer[name] for name in _INDEX_COLUMNS} | {"n_weights": int(power_sums[0])}
    if moments is None:
        return row
    distributions = {distribution.name: distribution for distribution in init_distributions(layer["shape"])}
    return row | {
        "mean": moments.mean,
        "std": moments.std,
        "skewness": moments.skewness,
        "kurtosis": moments.kurtosis,
        "max_abs": moments.max_abs,
        "std_over_he": moments.std / distributions["he normal, fan in"].std,
        "std_over_glorot": moments.std / distributions["glorot normal"].std,
        "std_over_torch_default": moments.std / distributions["torch default"].std,
        "laws": [distribution.name for distribution in distributions.values() if is_consistent(moments, distribution)]
        if moments.n >= MIN_WEIGHTS
        else None,
    }


def _figures(table: pa.Table) -> Iterator[Figure]:
    known = table.filter(pc.is_valid(table["std"]))
    if len(known):
        yield Figure(
            name="initialisation",
            title="Weights of layers and initial distributions",
            caption="One mark per layer: standard deviation over that of He initialization, and excess kurtosis. "
            "Untrained layers lie at the crosses.",
            basis=sample_size(known),
            table="layer_weights",
            draw=partial(
                weight_moments_scatter, ratio=known["std_over_he"].to_numpy(), kurtosis=known["kurtosis"].to_numpy()
            ),
        )


def _finding(table: pa.Table) -> str:
    tested = [value for value in table["laws"].to_pylist() if value is not None]
    n_consistent = sum(bool(value) for value in tested)
    return (
        f"The weights of {n_consistent} of {len(tested)} layers are consistent with a usual initialization, by their "
        "moments."
    )
