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
from filtercrawl_analysis.numerics.dct_basis import BINS, MAX_TAPS, basis, histogram_range
from filtercrawl_analysis.numerics.moments import Array, Moments, moments
from filtercrawl_analysis.numerics.streaming import histograms
from filtercrawl_analysis.statistics.groups import LayerGroups
from filtercrawl_analysis.statistics.pca import components, shares_along

# Sketches looked at together: the histograms of 49 taps take 27 KB each.
BATCH = 512


@dataclass(frozen=True, kw_only=True)
class Coordinates:
    """In what coefficients are counted; two drifts can be compared only where all of this is the same.

    rows: the basis [components, taps]; mean: what is subtracted from a scaled kernel first; shares: the weight of each
    component in the drift; low, high: of the histograms.
    """

    mode: Literal["sketch", "exact"]
    rows: Array
    mean: Array
    shares: Array
    low: float
    high: float

    @property
    def width(self) -> float:
        """Of one bin."""
        return (self.high - self.low) / BINS


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """counts: int64 [units, components, 70]."""

    coordinates: Coordinates
    counts: NDArray[np.int64]


def kernel_sizes(index: pa.Table) -> list[str]:
    """Return the kernel sizes that have a basis (2 to 49 taps), the one with the most kernels first."""
    small = index.filter(pc.and_(pc.greater(index["taps"], 1), pc.less_equal(index["taps"], MAX_TAPS)))
    totals = small.group_by("kernel").aggregate([("n_kernels", "sum")]).to_pylist()
    return [row["kernel"] for row in sorted(totals, key=lambda row: (-row["n_kernels_sum"], row["kernel"]))]


def of_size(index: pa.Table, kernel: str) -> pa.Table:
    """Return the layers of one kernel size."""
    return index.filter(pc.equal(index["kernel"], kernel))


def sketches_in_batches(dataset: DatasetView, index: pa.Table) -> Iterator[tuple[slice, pa.Table]]:
    """Yield which layers of `index`, and their sketches."""
    digests = index["layer_sha256"].to_pylist()
    for start in range(0, len(digests), BATCH):
        here = slice(start, min(start + BATCH, len(digests)))
        yield here, dataset.sketches(digests[here])


def scaled_moments(dataset: DatasetView, index: pa.Table, units: LayerGroups) -> Moments:
    """Return the moments of the scaled kernels of each unit; `index`: layers of one kernel size."""
    total: Moments | None = None
    for here, sketches in sketches_in_batches(dataset, index):
        found = moments(sketches, "scaled").merged(units.of_layer[here], len(units))
        if total is None:
            total = found
        else:
            both = Moments(
                n=np.concatenate([total.n, found.n]),
                mean=np.concatenate([total.mean, found.mean]),
                scatter=np.concatenate([total.scatter, found.scatter]),
            )
            total = both.merged(np.tile(np.arange(len(units)), 2), len(units))
    assert total is not None  # an index of a kernel size has a layer
    return total


def coefficients(dataset: DatasetView, index: pa.Table, units: LayerGroups) -> Coefficients | None:
    """Count the coefficients of the layers of one kernel size, unit by unit; None where no two kernels differ.

    From sketches: their fixed basis and range, and the shares of the variance along that basis. With options.exact, as
    the paper does: principal components of all kernels, which merged sketches have, and one range from the smallest to
    the largest coefficient of all components and kernels, for which the kernels are read.
    """
    whole = scaled_moments(dataset, index, units).total()
    return _exact(dataset, index, units, whole) if dataset.options.exact else _fixed(dataset, index, units, whole)


def _fixed(dataset: DatasetView, index: pa.Table, units: LayerGroups, whole: Moments) -> Coefficients | None:
    rows = basis(tuple(index["kernel_size"][0].as_py()))
    shares = shares_along(whole, rows)
    if shares is None:
        return None
    counts = np.zeros((len(units), len(rows) * BINS), np.int64)
    for here, sketches in sketches_in_batches(dataset, index):
        lists = sketches["histogram"].combine_chunks()
        known = np.flatnonzero(np.array(lists.is_valid()))
        layers = lists.flatten().to_numpy().reshape(len(known), -1)
        np.add.at(counts, units.of_layer[here][known], layers)
    low, high = histogram_range(len(rows))
    coordinates = Coordinates(mode="sketch", rows=rows, mean=np.zeros(len(rows)), shares=shares, low=low, high=high)
    return Coefficients(coordinates=coordinates, counts=counts.reshape(len(units), len(rows), BINS))


def _exact(dataset: DatasetView, index: pa.Table, units: LayerGroups, whole: Moments) -> Coefficients | None:
    found = components(whole)
    if found is None:
        return None
    unit_of = dict(zip(index["layer_sha256"].to_pylist(), units.of_layer.tolist(), strict=True))
    parts = ((unit_of[digest], part) for digest, part in _watched(dataset, index))
    counted = histograms(parts, found.rows, found.mean, BINS, len(units), device=dataset.options.device)
    if counted is None:
        return None
    coordinates = Coordinates(
        mode="exact", rows=found.rows, mean=found.mean, shares=found.shares, low=counted.low, high=counted.high
    )
    return Coefficients(coordinates=coordinates, counts=counted.counts)


def _watched(dataset: DatasetView, index: pa.Table) -> Iterator[tuple[str, NDArray[np.float32]]]:
    done, total = 0, sum(index["n_kernels"].to_pylist())
    for digest, part in dataset.kernels(index["layer_sha256"].to_pylist()):
        yield digest, part
        done += len(part)
        dataset.progress(done, total, f"coefficients, {index['kernel'][0].as_py()}")
