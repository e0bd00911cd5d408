"""Histograms of the coefficients of scaled kernels, for every unit of layers, in one basis and one range."""

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
from filtercrawl_analysis.statistics.groups import LayerGroups
from filtercrawl_analysis.statistics.pca import explained_variance_along, principal_components

# Sketches looked at together: the histograms of 49 taps take 27 KB each.
BATCH = 512


@dataclass(frozen=True, kw_only=True)
class CoefficientSpace:
    """In what coefficients are counted; two drifts can be compared only where all of this is the same.

    rows: the basis [components, taps]; mean: what is subtracted from a scaled kernel first; shares: the weight of each
    component in the drift; low, high: of the histograms.
    """

    mode: Literal["sketch", "exact"]
    basis: Array
    mean: Array
    weights: Array
    low: float
    high: float

    @property
    def bin_width(self) -> float:
        """Of one bin."""
        return (self.high - self.low) / BINS


@dataclass(frozen=True, kw_only=True)
class CoefficientHistograms:
    """counts: int64 [units, components, 70]."""

    space: CoefficientSpace
    counts: NDArray[np.int64]


def kernel_sizes(index: pa.Table) -> list[str]:
    """Return the kernel sizes that have a basis (2 to 49 taps), the one with the most kernels first."""
    small = index.filter(pc.and_(pc.greater(index["taps"], 1), pc.less_equal(index["taps"], MAX_TAPS)))
    totals = small.group_by("kernel").aggregate([("n_kernels", "sum")]).to_pylist()
    return [row["kernel"] for row in sorted(totals, key=lambda row: (-row["n_kernels_sum"], row["kernel"]))]


def select_kernel_size(index: pa.Table, kernel: str) -> pa.Table:
    """Return the layers of one kernel size."""
    return index.filter(pc.equal(index["kernel"], kernel))


def iter_sketches(dataset: DatasetView, index: pa.Table) -> Iterator[tuple[slice, pa.Table]]:
    """Yield which layers of `index`, and their sketches."""
    digests = index["layer_sha256"].to_pylist()
    for start in range(0, len(digests), BATCH):
        here = slice(start, min(start + BATCH, len(digests)))
        yield here, dataset.sketches(digests[here])


def scaled_moments(dataset: DatasetView, index: pa.Table, units: LayerGroups) -> Moments:
    """Return the moments of the scaled kernels of each unit; `index`: layers of one kernel size."""
    total: Moments | None = None
    for here, sketches in iter_sketches(dataset, index):
        found = sketch_moments(sketches, "scaled").merge(units.unit_of_layer[here], len(units))
        if total is None:
            total = found
        else:
            both = Moments(
                n=np.concatenate([total.n, found.n]),
                mean=np.concatenate([total.mean, found.mean]),
                scatter=np.concatenate([total.scatter, found.scatter]),
            )
            total = both.merge(np.tile(np.arange(len(units)), 2), len(units))
    assert total is not None  # an index of a kernel size has a layer
    return total


def coefficient_histograms(dataset: DatasetView, index: pa.Table, units: LayerGroups) -> CoefficientHistograms | None:
    """Count the coefficients of the layers of one kernel size, unit by unit; None where no two kernels differ.

    From sketches: their fixed basis and range, and the shares of the variance along that basis. With options.exact, as
    the paper does: principal components of all kernels, which merged sketches have, and one range from the smallest to
    the largest coefficient of all components and kernels, for which the kernels are read.
    """
    whole = scaled_moments(dataset, index, units).total()
    return _exact(dataset, index, units, whole) if dataset.options.exact else _fixed(dataset, index, units, whole)


def _fixed(dataset: DatasetView, index: pa.Table, units: LayerGroups, whole: Moments) -> CoefficientHistograms | None:
    rows = dct_basis(tuple(index["kernel_size"][0].as_py()))
    shares = explained_variance_along(whole, rows)
    if shares is None:
        return None
    counts = np.zeros((len(units), len(rows) * BINS), np.int64)
    for here, sketches in iter_sketches(dataset, index):
        lists = sketches["histogram"].combine_chunks()
        known = np.flatnonzero(np.array(lists.is_valid()))
        layers = lists.flatten().to_numpy().reshape(len(known), -1)
        np.add.at(counts, units.unit_of_layer[here][known], layers)
    low, high = histogram_range(len(rows))
    coordinates = CoefficientSpace(
        mode="sketch", basis=rows, mean=np.zeros(len(rows)), weights=shares, low=low, high=high
    )
    return CoefficientHistograms(space=coordinates, counts=counts.reshape(len(units), len(rows), BINS))


def _exact(dataset: DatasetView, index: pa.Table, units: LayerGroups, whole: Moments) -> CoefficientHistograms | None:
    found = principal_components(whole)
    if found is None:
        return None
    unit_of = dict(zip(index["layer_sha256"].to_pylist(), units.unit_of_layer.tolist(), strict=True))
    parts = ((unit_of[digest], part) for digest, part in _watched(dataset, index))
    counted = grouped_histograms(parts, found.vectors, found.mean, BINS, len(units), device=dataset.options.device)
    if counted is None:
        return None
    coordinates = CoefficientSpace(
        mode="exact",
        basis=found.vectors,
        mean=found.mean,
        weights=found.explained_variance,
        low=counted.low,
        high=counted.high,
    )
    return CoefficientHistograms(space=coordinates, counts=counted.counts)


def _watched(dataset: DatasetView, index: pa.Table) -> Iterator[tuple[str, NDArray[np.float32]]]:
    done, total = 0, sum(index["n_kernels"].to_pylist())
    for digest, part in dataset.kernels(index["layer_sha256"].to_pylist()):
        yield digest, part
        done += len(part)
        dataset.progress(done, total, f"coefficients, {index['kernel'][0].as_py()}")
