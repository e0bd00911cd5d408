"""The law of Marchenko and Pastur: fitted to eigenvalues as WeightWatcher fits it, and samples of eigenvalues."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal
from scipy.optimize import fmin

from filtercrawl_analysis.numerics.moments import Array

# Of the density of the eigenvalues: bandwidth of its triangular kernel, points, and the least density that counts.
_BANDWIDTH: Final = 0.1
_POINTS: Final = 1000
_MIN_DENSITY: Final = 0.01
# Residual at each point for a scale whose law does not cover the peak, or reaches beyond the eigenvalues.
_EXCLUDED: Final = 1000.0
_EQUAL: Final = 1e-9


@dataclass(frozen=True, kw_only=True)
class MarchenkoPastur:
    """The law that fits the bulk of eigenvalues, and what lies beyond it.

    Attributes:
        sigma: Scale of the law, where the mean eigenvalue is 1.
        soft_rank: Upper edge of the bulk over the largest eigenvalue (Martin and Mahoney 2021, arXiv 1810.01075).
        spikes: Eigenvalues above the bulk by more than the fluctuations of its edge.
    """

    sigma: float
    soft_rank: float
    spikes: int


def fit_marchenko_pastur(eigenvalues: Array, rows: int, columns: int) -> MarchenkoPastur | None:
    """Fit the scale of the law to the density of eigenvalues, as WeightWatcher 0.7.7 does.

    Eigenvalues are scaled to a mean of 1. Their density, by a triangular kernel, is compared with the law at 1000
    points; of square matrices, the density of singular values with the quarter circle. sigma has the least sum of
    squared residuals: the best of a grid, then refined by the simplex method.

    Args:
        eigenvalues: Of W W^T for one or more matrices W of one shape, ascending, not all zero.
        rows: The larger side of these matrices.
        columns: The smaller side.

    Returns:
        The fit; None where the law cannot be compared, as for all eigenvalues equal.
    """
    scaled = eigenvalues / eigenvalues.mean()
    ratio = rows / columns
    x, density = _density(np.sqrt(scaled) if ratio == 1 else scaled)
    known = density > _MIN_DENSITY
    if not known.any():
        return None
    scale = math.sqrt(scaled[-1]) / (1 + ratio**-0.5)
    sigma = _best_sigma(x[known], density[known], ratio, np.arange(0.05 * scale, 2.0 * scale, 0.01 * scale))
    if sigma is None:
        return None
    edge = (sigma * (1 + ratio**-0.5)) ** 2
    fluctuation = math.sqrt(ratio**-0.5 * edge ** (2 / 3) * columns ** (-2 / 3))
    return MarchenkoPastur(
        sigma=sigma,
        soft_rank=float(edge / scaled[-1]),
        spikes=int(np.count_nonzero(scaled > edge + fluctuation)),
    )


def _best_sigma(x: Array, density: Array, ratio: float, grid: Array) -> float | None:
    """Return the scale with the least sum of squared residuals; None if no scale of the grid covers the peak."""
    # The first of peaks that are equal but for rounding, as those of single eigenvalues are.
    peak, top = x[(density >= density.max() * (1 - _EQUAL)).argmax()], x.max()

    def residuals(sigmas: Array) -> Array:
        """Return the sum of squared residuals of each scale, the largest where the law cannot be compared."""
        column = sigmas[:, None]
        if ratio == 1:
            circle: Array = np.sum((_quarter_circle(x, column) - density) ** 2, axis=1)
            return circle
        low, high = (column * (1 - ratio**-0.5)) ** 2, (column * (1 + ratio**-0.5)) ** 2
        errors = np.sum((_law(x, ratio, low, high) - density) ** 2, axis=1)
        excluded = ((high < peak) | (high > top) | (low > peak))[:, 0]
        sums: Array = np.where(excluded, len(x) * _EXCLUDED**2, errors)
        return sums

    values = residuals(grid)
    best = int(values.argmin())
    if values[best] >= len(x) * _EXCLUDED**2:
        return None
    found = fmin(lambda point: residuals(np.ravel(point))[0], grid[best : best + 1], disp=False)
    return float(found[0])


def wishart_eigenvalues(rows: int, columns: int, random: np.random.Generator) -> Array:
    """Draw the eigenvalues of W^T W for a matrix of independent standard normal numbers.

    Without the matrix: its bidiagonal form has independent entries, whose squares have chi-squared distributions
    (Dumitriu and Edelman 2002, arXiv math-ph/0206043).

    Args:
        rows: Rows of W, at least as many as columns.
        columns: Columns of W.
        random: Source of random numbers.

    Returns:
        float64 [columns], ascending.
    """
    diagonal = random.chisquare(rows - np.arange(columns))
    below = random.chisquare(np.arange(columns - 1, 0, -1))
    if columns == 1:
        return diagonal
    values: Array = eigvalsh_tridiagonal(diagonal + np.r_[0.0, below], np.sqrt(diagonal[:-1] * below))
    return np.maximum(values, 0.0)


def _density(numbers: Array) -> tuple[Array, Array]:
    """Return 1000 points from 0 to beyond the largest number, and the density of the numbers there."""
    x = np.linspace(0, numbers[-1] + 0.5, _POINTS)
    sums = np.r_[0.0, np.cumsum(numbers)]
    first, middle, last = (np.searchsorted(numbers, x + shift) for shift in (-_BANDWIDTH, 0.0, _BANDWIDTH))
    below = (middle - first) * (1 - x / _BANDWIDTH) + (sums[middle] - sums[first]) / _BANDWIDTH
    above = (last - middle) * (1 + x / _BANDWIDTH) - (sums[last] - sums[middle]) / _BANDWIDTH
    return x, np.maximum(below + above, 0.0) / (len(numbers) * _BANDWIDTH)


def _law(x: Array, ratio: float, low: Array, high: Array) -> Array:
    """Return the density of the law with these edges; its scale follows from them."""
    variance = (np.sqrt(low) + np.sqrt(high)) ** 2 / 4
    with np.errstate(divide="ignore", invalid="ignore"):
        density = ratio * np.sqrt((high - x) * (x - low)) / (2 * np.pi * variance * x)
    return np.nan_to_num(density)


def _quarter_circle(x: Array, sigma: Array) -> Array:
    """Return the quarter circle law; as in WeightWatcher, sigma scales its height and not its radius."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.sqrt(4 - x**2) / (np.pi * sigma**2))
