"""Layers of training runs by step: drift from the first and the last step, components, entropy, dead kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.numerics.moments import Moments
from filtercrawl_analysis.statistics.components.coefficients import (
    CoefficientHistograms,
    kernel_sizes,
    scaled_moments,
    select_kernel_size,
    sketched_histograms,
)
from filtercrawl_analysis.statistics.components.pca import PrincipalComponents, principal_components
from filtercrawl_analysis.statistics.drift.divergence import paired_drift, probabilities
from filtercrawl_analysis.statistics.drift.floor import expected_drift
from filtercrawl_analysis.statistics.groups.labels import LayerGroups

Row = dict[str, Any]

MEASURED: Final = ("n_kernels", "taps", "n_dead", "sparsity", "variance_entropy_norm", "orthogonality", "norm_l2")
LAYERS: Final = pa.schema(
    [
        ("run_id", pa.string()), ("layer", pa.string()), ("kernel", pa.string()), ("step", pa.int64()),
        ("layer_id", pa.string()), ("n_kernels", pa.int64()), ("drift_from_first", pa.float64()),
        ("drift_from_last", pa.float64()), ("floor", pa.float64()), ("explained_variance", pa.float64()),
        ("component_cosine", pa.float64()), ("sparsity", pa.float64()), ("variance_entropy_norm", pa.float64()),
        ("orthogonality", pa.float64()), ("norm_l2", pa.float64()),
    ]
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LayerRun:
    """One layer over the steps of its run.

    Attributes:
        rows: Its row of the index at each step, in the order of steps.
        units: Its position among the layers of its kernel size at each step.
    """

    rows: Sequence[Row]
    units: Sequence[int]


def layer_steps(dataset: DatasetView, index: pa.Table) -> Iterator[Row]:
    """Yield a row for each layer and step, those of a layer together and in the order of steps.

    Layers of more than 49 taps have no sketch of their coefficients, and no drift.

    Args:
        dataset: Gives the sketches.
        index: The layers of all steps of all runs.
    """
    with_basis = kernel_sizes(index)
    for kernel in dict.fromkeys([*with_basis, *index["kernel"].to_pylist()]):
        layers = select_kernel_size(index, kernel)
        each = _one_by_one(layers)
        moments = scaled_moments(dataset, layers, each) if kernel in with_basis else None
        histograms = None if moments is None else sketched_histograms(dataset, layers, each, moments.total())
        for run in _runs(layers):
            yield from _rows(run, moments, histograms)


def _one_by_one(layers: pa.Table) -> LayerGroups:
    """Return each layer as a unit of its own."""
    numbers = np.arange(len(layers), dtype=np.int64)
    kernels = np.array(layers["n_kernels"].to_pylist(), np.int64)
    return LayerGroups(unit_of_layer=numbers, labels={}, kernels=kernels, layers=np.ones_like(numbers))


def _runs(layers: pa.Table) -> Iterator[LayerRun]:
    """Yield the layers of two or more steps with one name, module and kernel size."""
    names = ("run_id", "layer", "tensor", "bank_index", "kernel", "step", "layer_id", *MEASURED)
    found: dict[tuple[Any, ...], list[tuple[int, Row]]] = {}
    for unit, row in enumerate(layers.select(list(dict.fromkeys(names))).to_pylist()):
        found.setdefault((row["run_id"], row["tensor"], row["bank_index"]), []).append((unit, row))
    for _, members in sorted(found.items(), key=lambda item: (item[0][0], item[0][1], item[0][2] or 0)):
        members.sort(key=lambda member: member[1]["step"])
        if len(members) > 1:
            yield LayerRun(rows=[row for _, row in members], units=[unit for unit, _ in members])


def _rows(run: LayerRun, moments: Moments | None, histograms: CoefficientHistograms | None) -> Iterator[Row]:
    components = [None if moments is None else _components(moments, unit) for unit in run.units]
    drifts = _drifts(run.units, histograms)
    for i, row in enumerate(run.rows):
        own, last = components[i], components[-1]
        yield {name: row[name] for name in LAYERS.names if name in row} | {
            "drift_from_first": None if drifts is None else drifts[0][i],
            "drift_from_last": None if drifts is None else drifts[1][i],
            "floor": None if drifts is None else drifts[2],
            "explained_variance": None if own is None else float(own.explained_variance[0]),
            "component_cosine": None if own is None or last is None else float(abs(own.vectors[0] @ last.vectors[0])),
        }


def _components(moments: Moments, unit: int) -> PrincipalComponents | None:
    one = slice(unit, unit + 1)
    return principal_components(Moments(n=moments.n[one], mean=moments.mean[one], scatter=moments.scatter[one]))


def _drifts(
    units: Sequence[int], histograms: CoefficientHistograms | None
) -> tuple[list[float], list[float], float] | None:
    """Return the drift of each step from the first and from the last one, and their floor; None where one is empty."""
    if histograms is None:
        return None
    counts: NDArray[np.int64] = histograms.counts[list(units)]
    if not counts.sum(-1).all():
        return None
    space = histograms.space
    p = probabilities(counts, space.bin_width)
    first, last = (paired_drift(p, np.broadcast_to(p[end], p.shape), space.weights).tolist() for end in (0, -1))
    ends = counts[[0, -1]]
    common = (ends / ends.sum(-1, keepdims=True)).mean(0)
    n_first, n_last = (float(n) for n in ends.sum(-1).min(-1))
    return first, last, expected_drift(common, (n_first, n_last), space.weights, space.bin_width)
