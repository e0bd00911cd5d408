"""Coefficients of sampled kernels, for figures that need single kernels rather than sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.numerics.streaming import scaled_chunks
from filtercrawl_analysis.statistics.components.pca import PrincipalComponents

# Bound of the histogram of the first two coefficients, as published.
RANGE: Final = 3.3
# Its cells along each axis; the published one has 512, with a hundred times as many kernels.
CELLS: Final = 128
# Those of a group, which has fewer kernels.
GROUP_CELLS: Final = 64
# Points of a density estimate, whose cost is points times kernels.
POINTS: Final = 128
# Kernels of a density estimate, taken evenly from the samples.
KERNELS: Final = 3000


@dataclass(frozen=True, kw_only=True)
class SampledCoefficients:
    """Coefficients of sampled kernels.

    Attributes:
        layer: Index of the layer of each kernel, int64 [k].
        weight: How many kernels of the layer it stands for, float64 [k].
        coefficients: Its coefficients, float64 [k, components].
    """

    layer: NDArray[np.int64]
    weight: Array
    coefficients: Array

    def of_layers(self, chosen: Sequence[bool]) -> NDArray[np.int64]:
        """Return the indices of the kernels of some layers, from whether each layer is one of them."""
        return np.flatnonzero(np.array(chosen, np.bool_)[self.layer])


def sample_coefficients(dataset: DatasetView, layers: pa.Table, components: PrincipalComponents) -> SampledCoefficients:
    """Project the sampled kernels of layers, scaled, on principal components.

    Args:
        dataset: The dataset.
        layers: Rows of its index, all of one kernel size.
        components: Principal components of that kernel size.
    """
    layer_index = {digest: i for i, digest in enumerate(layers["layer_sha256"].to_pylist())}
    sizes = layers["n_kernels"].to_pylist()
    layer: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    weight: list[Array] = [np.empty(0)]
    coefficients: list[Array] = [np.empty((0, len(components.vectors)))]
    for digest, kernels in dataset.samples(list(layer_index)):
        for chunk in scaled_chunks((kernels,)):
            projected = (chunk.double().numpy().T - components.mean) @ components.vectors.T
            coefficients.append(projected)
            layer.append(np.full(len(projected), layer_index[digest], np.int64))
            weight.append(np.full(len(projected), sizes[layer_index[digest]] / len(projected)))
    return SampledCoefficients(
        layer=np.concatenate(layer), weight=np.concatenate(weight), coefficients=np.concatenate(coefficients)
    )


def kernel_density(values: Array, weight: Array) -> tuple[Array, Array] | None:
    """Return a Gaussian kernel density estimate with Silverman's bandwidth.

    Args:
        values: Observations [n].
        weight: Weight of each [n].

    Returns:
        Points and densities [128] each; None where fewer than two values differ.
    """
    step = max(1, len(values) // KERNELS)
    values, weight = values[::step], weight[::step]
    if len(values) < 2 or not np.ptp(values) > 1e-9:
        return None
    grid = np.linspace(values.min(), values.max(), POINTS)
    return grid, gaussian_kde(values, "silverman", weight)(grid)


def coefficient_plane(
    samples: SampledCoefficients, members: NDArray[np.int64], cells: int = CELLS
) -> tuple[Array, Array]:
    """Return the weighted histogram of the first two coefficients, and the edges of its cells.

    Args:
        samples: Coefficients of sampled kernels.
        members: Indices of the kernels to count.
        cells: Cells along each axis.

    Returns:
        The histogram [cells, cells] and the edges [cells + 1].
    """
    first, second = samples.coefficients[members, 0], samples.coefficients[members, 1]
    bounds = [[-RANGE, RANGE]] * 2
    counts, edges, _ = np.histogram2d(first, second, cells, bounds, weights=samples.weight[members])
    return counts, edges


def weighted_median(values: Array, weight: Array) -> float:
    """Return the smallest value at which the weights add up to half of their sum."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
