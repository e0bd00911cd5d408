"""Coefficients of sampled kernels, for the pictures that need single kernels rather than sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.numerics.streaming import scaled_chunks
from filtercrawl_analysis.statistics.pca import PrincipalComponents

# Of the published histogram of the first two coefficients.
RANGE: Final = 3.3
# The published one has 512, of a hundred times as many kernels.
CELLS: Final = 128
# Kernels in a density estimate, which takes points times kernels; spread evenly over the samples.
POINTS: Final = 128
KERNELS: Final = 3000


@dataclass(frozen=True, kw_only=True)
class SampledCoefficients:
    """Sampled kernels. layer: that each is of, [k]; weight: how many it stands for, [k]; coefficients: [k, taps]."""

    layer: NDArray[np.int64]
    weight: Array
    coefficients: Array


def sample_coefficients(dataset: DatasetView, layers: pa.Table, whole: PrincipalComponents) -> SampledCoefficients:
    """Project the samples of layers of one kernel size, scaled, on principal components."""
    place = {digest: i for i, digest in enumerate(layers["layer_sha256"].to_pylist())}
    sizes = layers["n_kernels"].to_pylist()
    layer: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    weight: list[Array] = [np.empty(0)]
    coefficients: list[Array] = [np.empty((0, len(whole.vectors)))]
    for digest, kernels in dataset.samples(list(place)):
        for chunk in scaled_chunks((kernels,)):
            found = (chunk.double().numpy().T - whole.mean) @ whole.vectors.T
            coefficients.append(found)
            layer.append(np.full(len(found), place[digest], np.int64))
            weight.append(np.full(len(found), sizes[place[digest]] / len(found)))
    return SampledCoefficients(
        layer=np.concatenate(layer), weight=np.concatenate(weight), coefficients=np.concatenate(coefficients)
    )


def kernel_density(values: Array, weight: Array) -> tuple[Array, Array] | None:
    """Return where and how dense values are: a Gaussian estimate, Silverman's bandwidth, [128] each.

    None where fewer than two values differ.
    """
    step = max(1, len(values) // KERNELS)
    values, weight = values[::step], weight[::step]
    if len(values) < 2 or not np.ptp(values) > 1e-9:
        return None
    grid = np.linspace(values.min(), values.max(), POINTS)
    return grid, gaussian_kde(values, "silverman", weight)(grid)


def coefficient_plane(samples: SampledCoefficients) -> tuple[Array, Array]:
    """Return the weighted histogram of the first two coefficients, [128, 128], and the edges of its cells."""
    first, second = samples.coefficients[:, 0], samples.coefficients[:, 1]
    bounds = [[-RANGE, RANGE]] * 2
    counts, edges, _ = np.histogram2d(first, second, CELLS, bounds, weights=samples.weight)
    return counts, edges
