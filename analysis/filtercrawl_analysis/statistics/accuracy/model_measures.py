"""Measures of the quality of a model's kernels: one number a model and measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView
from filtercrawl.api.vocabulary import TRAINED
from filtercrawl_analysis.statistics.components.coefficients import (
    coefficient_histograms,
    kernel_sizes,
    select_kernel_size,
)
from filtercrawl_analysis.statistics.drift.divergence import paired_drift, probabilities
from filtercrawl_analysis.statistics.groups.labels import layer_groups

Row = dict[str, Any]

# What the measures are called in sentences and figures.
MEASURES: Final[Mapping[str, str]] = {
    "sparsity": "the share of dead kernels",
    "variance_entropy": "the variance entropy",
    "orthogonality": "the orthogonality",
    "weight_rms": "the size of the weights",
    "weight_peak": "the peak of the weights over their size",
    "family_drift": "the drift from the family",
    "num_params": "the number of parameters",
}


def model_measures(dataset: DatasetView) -> dict[str, Row]:
    """Return the measures of each model by its id, from its layers of more than one tap; None where unknown.

    All layers of a model count, also those that another model has as well, such as a backbone that was kept.
    `sparsity` is the share of dead kernels of all kernels; `variance_entropy` (normalized) and `orthogonality` are
    medians over layers; `weight_rms` is the root mean square of all weights, `weight_peak` the median over layers of
    their largest magnitude over their own root mean square. `family_drift` is the drift D between the kernels of the
    model and those of the other models of its family, in the most frequent kernel size that they share. `num_params`
    is the size of the model: what goes with it may go with accuracy for no other reason.
    """
    index = layers_of_models(dataset)
    names = (
        "model_id", "n_kernels", "taps", "n_dead", "variance_entropy_norm", "orthogonality", "norm_l2", "norm_linf",
    )  # fmt: skip
    layers: dict[str, list[Row]] = {}
    for row in index.select(names).to_pylist():
        layers.setdefault(row["model_id"], []).append(row)
    drifts = family_drifts(dataset, index)
    sizes = dict(zip(*(dataset.models[name].to_pylist() for name in ("model_id", "num_params")), strict=True))
    return {
        model_id: {name: measure(rows) for name, measure in _MEASURES.items()}
        | {"family_drift": drifts.get(model_id), "num_params": sizes.get(model_id)}
        for model_id, rows in layers.items()
    }


def layers_of_models(dataset: DatasetView) -> pa.Table:
    """Return the learned layers of more than one tap of the analyzed models, each distinct tensor of a model once.

    Analyses of layers see each tensor once in the whole dataset, so that a model may lack those that it shares.
    """
    rows = dataset.all_layers
    usable = pc.and_(pc.is_in(rows["weight_kind"], pa.array(TRAINED)), pc.greater(rows["taps"], 1))
    usable = pc.and_(usable, _is_in(rows, pc.unique(dataset.index["model_id"]).to_pylist()))
    layers = rows.filter(usable).sort_by([("model_id", "ascending"), ("layer_id", "ascending")])
    keys = zip(*(layers[name].to_pylist() for name in ("model_id", "layer_sha256")), strict=True)
    first = {key: position for position, key in reversed(list(enumerate(keys)))}
    return layers.take(pa.array(sorted(first.values()), pa.int64()))


def family_drifts(dataset: DatasetView, index: pa.Table) -> dict[str, float]:
    """Return the drift D between each model and the other models of its family.

    It is that of the most frequent kernel size that they share.

    Args:
        dataset: Gives the sketches.
        index: The layers.
    """
    found: dict[str, float] = {}
    for kernel in kernel_sizes(index):
        layers = select_kernel_size(index, kernel)
        layers = layers.filter(pc.and_(pc.is_valid(layers["family"]), pc.invert(_is_in(layers, found))))
        units = layer_groups(layers, ("family",))
        families = units.labels["family"]
        if len(families) < 2 or max(families.count(name) for name in set(families)) < 2:
            continue
        histograms = coefficient_histograms(dataset, layers, units)
        if histograms is None:
            continue
        totals = {name: histograms.counts[[f == name for f in families]].sum(0) for name in set(families)}
        for unit, (model_id, name) in enumerate(zip(units.labels["model_id"], families, strict=True)):
            own, others = histograms.counts[unit], totals[name] - histograms.counts[unit]
            if own.sum(-1).all() and others.sum(-1).all():
                p, q = (probabilities(counts, histograms.space.bin_width) for counts in (own, others))
                found[str(model_id)] = float(paired_drift(p, q, histograms.space.weights))
    return found


def _is_in(layers: pa.Table, models: Iterable[str]) -> pa.ChunkedArray:
    return pc.is_in(layers["model_id"], value_set=pa.array(list(models), pa.string()))


def _sparsity(layers: Sequence[Row]) -> float | None:
    known = [row for row in layers if row["n_dead"] is not None]
    kernels = sum(row["n_kernels"] for row in known)
    return sum(row["n_dead"] for row in known) / kernels if kernels else None


def _median_of(name: str) -> Callable[[Sequence[Row]], float | None]:
    def value(layers: Sequence[Row]) -> float | None:
        known = [row[name] for row in layers if row[name] is not None]
        return median(known) if known else None

    return value


def _weight_rms(layers: Sequence[Row]) -> float | None:
    known = [row for row in layers if row["norm_l2"] is not None]
    numbers = sum(row["n_kernels"] * row["taps"] for row in known)
    return math.sqrt(sum(row["norm_l2"] ** 2 for row in known) / numbers) if numbers else None


def _weight_peak(layers: Sequence[Row]) -> float | None:
    peaks = [
        row["norm_linf"] * math.sqrt(row["n_kernels"] * row["taps"]) / row["norm_l2"]
        for row in layers
        if row["norm_l2"] and row["norm_linf"] is not None
    ]
    return float(np.median(peaks)) if peaks else None


_MEASURES: Final[Mapping[str, Callable[[Sequence[Row]], float | None]]] = {
    "sparsity": _sparsity,
    "variance_entropy": _median_of("variance_entropy_norm"),
    "orthogonality": _median_of("orthogonality"),
    "weight_rms": _weight_rms,
    "weight_peak": _weight_peak,
}
