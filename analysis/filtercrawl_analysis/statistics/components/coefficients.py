"""Histograms of the coefficients of scaled kernels by unit of layers, in one basis and one range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.numerics.dct_basis import BINS, MAX_TAPS, dct_basis, histogram_range
from filtercrawl_analysis.numerics.moments import Array, Moments, sketch_moments
from filtercrawl_analysis.numerics.streaming import grouped_histograms
from filtercrawl_analysis.statistics.components.pca import explained_variance_along, principal_components
from filtercrawl_analysis.statistics.groups.labels import LayerGroups

# Sketches read at a time: those of 49 taps have histograms of 27 KB each.
BATCH = 512


@dataclass(frozen=True, kw_only=True)
class CoefficientSpace:
    """The basis and the bins that coefficients are counted in.

    Two drifts can be compared only if all of this is the same.

    Attributes:
        mode: `sketch` for the fixed DCT basis and range, `exact` for principal components and their own range.
        basis: Components as rows, float64 [components, taps].
        mean: Subtracted from each scaled kernel first, float64 [taps].
        weights: Weight of each component in the drift [components].
        low: Lower edge of the first bin.
        high: Upper edge of the last bin.
    """

    mode: Literal["sketch", "exact"]
    basis: Array
    mean: Array
    weights: Array
    low: float
    high: float

    @property
    def bin_width(self) -> float:
        """Width of a bin."""
        return (self.high - self.low) / BINS


@dataclass(frozen=True, kw_only=True)
class CoefficientHistograms:
    """Histograms of coefficients by unit of layers.

    Attributes:
        space: The basis and the bins.
        counts: int64 [units, components, 70].
    """

    space: CoefficientSpace
    counts: NDArray[np.int64]


def kernel_sizes(index: pa.Table) -> list[str]:
    """Return the kernel sizes that have a basis (2 to 49 taps), the one with the most kernels first."""
    small = index.filter(pc.and_(pc.greater(index["taps"], 1), pc.less_equal(index["taps"], MAX_TAPS)))
    totals = small.group_by("kernel").aggregate([("n_kernels", "sum")]).to_pylist()
    return [row["kernel"] for row in sorted(totals, key=lambda row: (-row["n_kernels_sum"], row["kernel"]))]


def select_kernel_size(index: pa.Table, kernel: str) -> pa.Table:
    """Return the layers of one kernel size, such as `3x3`."""
    return index.filter(pc.equal(index["kernel"], kernel))


def iter_sketches(dataset: DatasetView, index: pa.Table) -> Iterator[tuple[slice, pa.Table]]:
    """Yield the sketches of layers in batches, each with the slice of `index` that it belongs to."""
    digests = index["layer_sha256"].to_pylist()
    for start in range(0, len(digests), BATCH):
        batch = slice(start, min(start + BATCH, len(digests)))
        yield batch, dataset.sketches(digests[batch])


def scaled_moments(dataset: DatasetView, index: pa.Table, units: LayerGroups) -> Moments:
    """Return the moments of the scaled kernels of each unit; all layers of `index` must have one kernel size."""
    total: Moments | None = None
    for batch, sketches in iter_sketches(dataset, index):
        part = sketch_moments(sketches, "scaled").merge(units.unit_of_layer[batch], len(units))
        if total is None:
            total = part
        else:
            both = Moments(
                n=np.concatenate([total.n, part.n]),
                mean=np.concatenate([total.mean, part.mean]),
                scatter=np.concatenate([total.scatter, part.scatter]),
            )
            total = both.merge(np.tile(np.arange(len(units)), 2), len(units))
    assert total is not None  # an index of a kernel size has a layer
    return total


def coefficient_histograms(dataset: DatasetView, index: pa.Table, units: LayerGroups) -> CoefficientHistograms | None:
    """Count the coefficients of the layers of one kernel size by unit.

    From sketches: in their fixed DCT basis and range, weighted by the shares of the variance along that basis. With
    `options.exact`, as in arXiv 2203.15331: in the principal components of all kernels, which merged sketches give
    exactly, over one range from the smallest to the largest coefficient of all components and kernels. For that the
    kernels are read.

    Returns:
        The histograms; None where no two kernels differ.
    """
    total = scaled_moments(dataset, index, units).total()
    count = _in_principal_components if dataset.options.exact else sketched_histograms
    return count(dataset, index, units, total)


def sketched_histograms(
    dataset: DatasetView, index: pa.Table, units: LayerGroups, total: Moments
) -> CoefficientHistograms | None:
    """Count the coefficients of the layers of one kernel size by unit, from their sketches.

    Args:
        dataset: Gives the sketches.
        index: The layers.
        units: The unit of each layer.
        total: Moments of all their scaled kernels, which give the weights of the components.

    Returns:
        The histograms; None where no two kernels differ.
    """
    basis = dct_basis(tuple(index["kernel_size"][0].as_py()))
    weights = explained_variance_along(total, basis)
    if weights is None:
        return None
    counts = np.zeros((len(units), len(basis) * BINS), np.int64)
    for batch, sketches in iter_sketches(dataset, index):
        lists = sketches["histogram"].combine_chunks()
        valid = np.flatnonzero(np.array(lists.is_valid()))
        histograms = lists.flatten().to_numpy().reshape(len(valid), -1)
        np.add.at(counts, units.unit_of_layer[batch][valid], histograms)
    low, high = histogram_range(len(basis))
    space = CoefficientSpace(mode="sketch", basis=basis, mean=np.zeros(len(basis)), weights=weights, low=low, high=high)
    return CoefficientHistograms(space=space, counts=counts.reshape(len(units), len(basis), BINS))


def _in_principal_components(
    dataset: DatasetView, index: pa.Table, units: LayerGroups, total: Moments
) -> CoefficientHistograms | None:
    components = principal_components(total)
    if components is None:
        return None
    unit_of = dict(zip(index["layer_sha256"].to_pylist(), units.unit_of_layer.tolist(), strict=True))
    parts = ((unit_of[digest], part) for digest, part in _kernels_with_progress(dataset, index))
    histograms = grouped_histograms(
        parts, components.vectors, components.mean, BINS, len(units), device=dataset.options.device
    )
    if histograms is None:
        return None
    space = CoefficientSpace(
        mode="exact",
        basis=components.vectors,
        mean=components.mean,
        weights=components.explained_variance,
        low=histograms.low,
        high=histograms.high,
    )
    return CoefficientHistograms(space=space, counts=histograms.counts)


def _kernels_with_progress(dataset: DatasetView, index: pa.Table) -> Iterator[tuple[str, NDArray[np.float32]]]:
    done, total = 0, sum(index["n_kernels"].to_pylist())
    for digest, part in dataset.kernels(index["layer_sha256"].to_pylist()):
        yield digest, part
        done += len(part)
        dataset.progress(done, total, f"coefficients, {index['kernel'][0].as_py()}")
