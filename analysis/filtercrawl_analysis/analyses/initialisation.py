"""The analysis `initialisation`: how far weights lie from the laws by which untrained networks are filled."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.empty_result import empty_result
from filtercrawl_analysis.plots.initialisation import weight_moments_scatter
from filtercrawl_analysis.statistics.coefficients import iter_sketches
from filtercrawl_analysis.statistics.group_summary import summarize_by_columns
from filtercrawl_analysis.statistics.groups import sample_size
from filtercrawl_analysis.statistics.init_distributions import init_distributions, is_consistent, weight_moments

NUMBERS: Final = ("std_over_he", "kurtosis", "skewness")
# Of fewer weights nearly every law may be true.
WEIGHTS: Final = 200
_GIVEN: Final = ("layer_id", "model_id", "kernel", "n_kernels", "depth_decile")
_NUMBERS: Final = (
    "mean", "std", "skewness", "kurtosis", "max_abs", "std_over_he", "std_over_glorot", "std_over_torch_default",
)  # fmt: skip
_ABOUT: Final = (
    "Mean, standard deviation, skewness and excess kurtosis (0 normal, -1.2 uniform) of the finite weights; the "
    "deviation over that of He (fan in), Glorot and torch's default initialisation. laws: those whose mean, deviation "
    "and kurtosis are within four standard errors of the weights'; null below 200 weights. Folded batch normalisation "
    "changes all of it."
)


def analyze(dataset: DatasetView) -> Result:
    """Compare the moments of each layer's weights with those of the usual laws."""
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    if not len(index):
        return empty_result("no learned kernels of more than one tap")
    rows = [_row(*pair) for pair in _sketched(dataset, index)]
    fields = [index.schema.field(name) for name in _GIVEN]
    numbers = [pa.field(name, pa.float64()) for name in _NUMBERS]
    laws_field = pa.field("laws", pa.list_(pa.string()))
    table = pa.Table.from_pylist(
        rows, schema=pa.schema([*fields, pa.field("n_weights", pa.int64()), *numbers, laws_field])
    )
    about = "Quartiles over layers. " + _ABOUT
    tables = (
        ResultTable(
            name="layer_weights", title="Weights of every layer against initial ones", rows=table, about=_ABOUT
        ),
        ResultTable(
            name="group_weights",
            title="Weights against initial ones, by group",
            rows=summarize_by_columns(table, index, dataset.options.by, NUMBERS),
            about=about,
        ),
    )
    return Result(tables=tables, figures=tuple(_figures(table)), findings=(_finding(table),))


def _sketched(dataset: DatasetView, index: pa.Table) -> Iterator[tuple[dict[str, Any], list[float], float]]:
    for here, sketches in iter_sketches(dataset, index):
        layers = index.slice(here.start, here.stop - here.start).select([*_GIVEN, "shape"]).to_pylist()
        yield from zip(layers, sketches["power_sums"].to_pylist(), sketches["max_abs"].to_pylist(), strict=True)
        dataset.progress(here.stop, len(index), "weights against initial ones")


def _row(layer: dict[str, Any], power_sums: list[float], max_abs: float) -> dict[str, Any]:
    found = weight_moments(power_sums, max_abs)
    row = {name: layer[name] for name in _GIVEN} | {"n_weights": int(power_sums[0])}
    if found is None:
        return row
    known = {law.name: law for law in init_distributions(layer["shape"])}
    return row | {
        "mean": found.mean,
        "std": found.std,
        "skewness": found.skewness,
        "kurtosis": found.kurtosis,
        "max_abs": found.max_abs,
        "std_over_he": found.std / known["he normal, fan in"].std,
        "std_over_glorot": found.std / known["glorot normal"].std,
        "std_over_torch_default": found.std / known["torch default"].std,
        "laws": [law.name for law in known.values() if is_consistent(found, law)] if found.n >= WEIGHTS else None,
    }


def _figures(table: pa.Table) -> Iterator[Figure]:
    known = table.filter(pc.is_valid(table["std"]))
    if len(known):
        yield Figure(
            name="initialisation",
            title="Weights of layers and the laws they started from",
            caption="A mark a layer: its standard deviation over that of He initialisation, and its excess kurtosis. "
            "Untrained layers lie on the crosses.",
            basis=sample_size(known),
            table="layer_weights",
            draw=partial(
                weight_moments_scatter, ratio=known["std_over_he"].to_numpy(), kurtosis=known["kurtosis"].to_numpy()
            ),
        )


def _finding(table: pa.Table) -> str:
    judged = [value for value in table["laws"].to_pylist() if value is not None]
    as_begun = sum(bool(value) for value in judged)
    return (
        f"The weights of {as_begun} of {len(judged)} layers may be those of a usual initialisation, by their moments."
    )
