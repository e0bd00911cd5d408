"""The fixed basis that sketches are taken in: the discrete cosine transform, ordered by spatial frequency."""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Of the published histograms of coefficients: as many bins as CNN Filter DB takes (arXiv 2203.15331).
BINS: Final = 70
# Kernels of more taps have no basis: a dense matrix of taps x taps, and its histogram, would outgrow their weights.
MAX_TAPS: Final = 49
# Frequencies of longer kernels share radial bins: the spectrum of a kernel never outgrows the kernel.
MAX_RADIUS: Final = 32


def dct_basis(kernel_size: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the orthonormal n-D DCT-II as float64 [taps, taps]; a kernel k, row-major, has coefficients basis @ k.

    The row of the frequencies f = (f_1, ..., f_n), 0 <= f_a < K_a, has at tap x the value

        prod_a c(f_a) cos(pi (2 x_a + 1) f_a / (2 K_a)),   c(0) = sqrt(1 / K_a), else c(f) = sqrt(2 / K_a)

    (Ahmed, Natarajan, Rao 1974). Rows are ordered by radial frequency, see `frequencies`: the mean comes first, and
    of equal radii the one whose first axis is the slower. Raises ValueError above MAX_TAPS taps.
    """
    return _basis(_checked(kernel_size)).copy()


@cache
def _basis(kernel_size: tuple[int, ...]) -> NDArray[np.float64]:
    if math.prod(kernel_size) > MAX_TAPS:
        raise ValueError(f"kernels of {math.prod(kernel_size)} taps have no basis: at most {MAX_TAPS}")
    dense: NDArray[np.float64] = np.ones((1, 1))
    for size in kernel_size:
        dense = np.asarray(np.kron(dense, dct_matrix(size)), np.float64)
    return np.ascontiguousarray(dense[np.ravel_multi_index(frequencies(kernel_size).T, kernel_size)])


@cache
def dct_matrix(size: int) -> NDArray[np.float64]:
    """Return the orthonormal DCT-II of one axis, float64 [size, size], a row a frequency; not to be written to."""
    frequency, tap = np.ogrid[:size, :size]
    rows = np.cos(np.pi * (2 * tap + 1) * frequency / (2 * size)) * math.sqrt(2 / size)
    rows[0] = math.sqrt(1 / size)
    rows.flags.writeable = False
    return rows


def frequencies(kernel_size: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the frequencies of each row of the basis, int64 [taps, axes], in its order.

    Sorted by radius, see `radii`, then by (f_1, ..., f_n).
    """
    size = _checked(kernel_size)
    order = np.argsort(radii(size).ravel(), kind="stable")
    return np.stack(np.unravel_index(order, size), axis=1).astype(np.int64)


def radii(kernel_size: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the radial frequency of every coefficient of the transform, float64 [*kernel_size], to nine decimals.

    sqrt(sum_a (f_a M / K_a)^2) with M = min(max K, MAX_RADIUS): cycles a tap in units of 1 / (2 M), which for square
    kernels of up to MAX_RADIUS taps a side is sqrt(f_1^2 + f_2^2).
    """
    size = _checked(kernel_size)
    longest = min(max(size), MAX_RADIUS)
    squares = np.zeros(size)
    for axis, taps in enumerate(size):
        along = (np.arange(taps) * longest / taps) ** 2
        squares += along.reshape([-1 if a == axis else 1 for a in range(len(size))])
    # Equal radii must be equal also where their sums were rounded apart.
    return np.asarray(np.round(np.sqrt(squares), 9), np.float64)


def radial_bins(kernel_size: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the radial bin of every coefficient, int64 [*kernel_size]: its radius rounded, halves upwards.

    Bin 0 is the mean alone, of every kernel with more than one tap; a bin may be empty. The number of bins is the
    largest plus one, see `n_radial_bins`: 4 for 3x3, 7 for 5x5, 9 for 7x7, 43 for 31x31.
    """
    return np.floor(radii(kernel_size) + 0.5).astype(np.int64)


def n_radial_bins(kernel_size: tuple[int, ...]) -> int:
    """Return the number of radial bins of a kernel size, whatever its taps: fewer than 46 in two dimensions."""
    return int(radial_bins(kernel_size).max()) + 1


def histogram_range(taps: int) -> tuple[float, float]:
    """Return the range of the histograms of coefficients: (-3, 3) for nine taps, in general -+sqrt(taps).

    No coefficient lies outside: a scaled kernel has no magnitude above 1, so its length is at most sqrt(taps).
    """
    bound = math.sqrt(taps)
    return -bound, bound


def _checked(kernel_size: tuple[int, ...]) -> tuple[int, ...]:
    size = tuple(int(k) for k in kernel_size)
    if not size or min(size) < 1:
        raise ValueError(f"no kernel size: {kernel_size!r}")
    return size
