"""Sums over the kernels of a layer, and over the same kernels scaled, by whatever way they were computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ScaledSums:
    """Sums over finite kernels, scaled by `scaling.scale_kernels`.

    Attributes:
        n: Number of kernels.
        n_zero: Number of kernels of zeros.
        mean: Mean kernel, float64 [taps].
        scatter: Sum of (k - mean)(k - mean)^T, float64 [taps, taps].
        histogram: Number of coefficients by component and bin, int64 [taps * bins].
    """

    n: int
    n_zero: int
    mean: Array
    scatter: Array
    histogram: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class LayerSums:
    """Sums over finite kernels, in float64.

    Attributes:
        n: Number of kernels.
        n_dead: Number of dead kernels.
        norm_l1: Sum of |w|.
        cubes: Sum of w^3.
        fourths: Sum of w^4.
        mean: Mean kernel [taps].
        scatter: Sum of (k - mean)(k - mean)^T [taps, taps].
        scaled: Of the scaled kernels; None if it was not asked for.
    """

    n: int
    n_dead: int
    norm_l1: float
    cubes: float
    fourths: float
    mean: Array
    scatter: Array
    scaled: ScaledSums | None = None


@dataclass(frozen=True, kw_only=True)
class BinnedBasis:
    """Where the coefficients of scaled kernels are counted; those outside the bins count in the first and the last.

    Attributes:
        rows: Components as rows, float64 [taps, taps].
        low: Lower edge of the first bin.
        high: Upper edge of the last bin.
        bins: Number of bins.
    """

    rows: Array
    low: float
    high: float
    bins: int

    def places(self) -> Array:
        """Return [taps, 1 + taps]: the bin of a component is the first column plus the others times the kernel."""
        width = (self.high - self.low) / self.bins
        return np.column_stack([np.full(len(self.rows), -self.low / width), self.rows / width])
