"""Sums over the kernels of a layer, and over the same kernels scaled, by whatever way they were computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Of a row that is symmetric or antisymmetric, the other part is smaller: it is rounding.
_ROUNDING: Final = 1e-14


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


class FoldedBasis(NamedTuple):
    """A basis for kernels that are folded in the middle: the rows of cosine transforms are symmetric or antisymmetric.

    With h = taps // 2, the bin of the component i of the kernel k is first_i, plus sum_j even_ij (k_j + k_(taps-1-j))
    over j < h, plus sum_j odd_ij (k_j - k_(taps-1-j)) over j < h, plus even_ih k_h with an odd number of taps.

    Attributes:
        first: [taps].
        even: [taps, taps - h].
        odd: [taps, h].
        has_even: Whether a row of `even` is not zero, [taps].
        has_odd: Whether a row of `odd` is not zero, [taps].
    """

    first: Array
    even: Array
    odd: Array
    has_even: NDArray[np.bool_]
    has_odd: NDArray[np.bool_]


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

    @cached_property
    def places(self) -> Array:
        """[taps, 1 + taps]: the bin of a component is the first column plus the others times the kernel."""
        width = (self.high - self.low) / self.bins
        return np.column_stack([np.full(len(self.rows), -self.low / width), self.rows / width])

    @cached_property
    def folded(self) -> FoldedBasis:
        """The basis for kernels that are folded in the middle."""
        first, rows = np.split(self.places, [1], axis=1)
        half = rows.shape[1] // 2
        even, odd = ((rows + sign * rows[:, ::-1]) / 2 for sign in (1, -1))
        for part in (even, odd):
            part[np.abs(part) < _ROUNDING * np.abs(rows).max(initial=0.0)] = 0
        even, odd = np.ascontiguousarray(even[:, : rows.shape[1] - half]), np.ascontiguousarray(odd[:, :half])
        has_even, has_odd = (np.asarray(part.any(1), np.bool_) for part in (even, odd))
        return FoldedBasis(first=first[:, 0].copy(), even=even, odd=odd, has_even=has_even, has_odd=has_odd)
