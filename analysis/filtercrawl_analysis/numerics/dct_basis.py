"""The fixed basis of sketches: the discrete cosine transform, ordered by radial frequency."""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Bins of the published histograms of coefficients, as many as in CNN Filter DB (arXiv 2203.15331).
BINS: Final = 70
# Kernels of more taps have no dense basis: a matrix of taps x taps, and its histograms, would outgrow their weights.
MAX_TAPS: Final = 49
# Frequencies of longer kernels share radial bins: the spectrum of a kernel is never larger than the kernel.
MAX_RADIUS: Final = 32


def dct_basis(kernel_size: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the orthonormal n-dimensional DCT-II basis (Ahmed, Natarajan and Rao 1974).

    A row-major kernel k has the coefficients basis @ k. The row of the frequencies f = (f_1, ..., f_n),
    0 <= f_a < K_a, has at tap x the value

        prod_a c(f_a) cos(pi (2 x_a + 1) f_a / (2 K_a)),   c(0) = sqrt(1 / K_a), else c(f) = sqrt(2 / K_a)

    Rows are ordered by radial frequency, see `frequencies`: the mean comes first. Of two rows with equal radius, the
    one with the lower frequency along the first axis comes first.

    Args:
        kernel_size: The size along each axis.

    Returns:
        The basis, float64 [taps, taps].

    Raises:
        ValueError: The kernel size is empty, below 1, or has more than `MAX_TAPS` taps.
    """
    return _cached_basis(_validated(kernel_size)).copy()


@cache
def _cached_basis(kernel_size: tuple[int, ...]) -> NDArray[np.float64]:
    if math.prod(kernel_size) > MAX_TAPS:
        raise ValueError(f"kernels of {math.prod(kernel_size)} taps have no basis: at most {MAX_TAPS}")
    dense: NDArray[np.float64] = np.ones((1, 1))
    for size in kernel_size:
        dense = np.asarray(np.kron(dense, dct_matrix(size)), np.float64)
    return np.ascontiguousarray(dense[np.ravel_multi_index(frequencies(kernel_size).T, kernel_size)])


@cache
def dct_matrix(size: int) -> NDArray[np.float64]:
    """Return the orthonormal DCT-II of one axis, float64 [size, size], one row per frequency, read-only."""
    frequency, tap = np.ogrid[:size, :size]
    rows = np.cos(np.pi * (2 * tap + 1) * frequency / (2 * size)) * math.sqrt(2 / size)
    rows[0] = math.sqrt(1 / size)
    rows.flags.writeable = False
    return rows


def frequencies(kernel_size: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the frequencies of each row of the basis, int64 [taps, axes].

    Rows are sorted by radius, see `radii`, then by (f_1, ..., f_n).
    """
    size = _validated(kernel_size)
    order = np.argsort(radii(size).ravel(), kind="stable")
    return np.stack(np.unravel_index(order, size), axis=1).astype(np.int64)


def radii(kernel_size: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the radial frequency of every coefficient of the transform, float64 [*kernel_size].

    sqrt(sum_a (f_a M / K_a)^2) with M = min(max K, MAX_RADIUS): cycles per tap in units of 1 / (2 M). For square
    kernels of up to `MAX_RADIUS` taps a side this is sqrt(f_1^2 + f_2^2). Values are rounded to nine decimals.
    """
    size = _validated(kernel_size)
    scale = min(max(size), MAX_RADIUS)
    squares = np.zeros(size)
    for axis, taps in enumerate(size):
        along_axis = (np.arange(taps) * scale / taps) ** 2
        squares += along_axis.reshape([-1 if a == axis else 1 for a in range(len(size))])
    # Equal radii must compare equal, also where their sums were rounded differently.
    return np.asarray(np.round(np.sqrt(squares), 9), np.float64)


def radial_bins(kernel_size: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the radial bin of every coefficient, int64 [*kernel_size]: its radius, rounded half up.

    Bin 0 holds the mean alone for every kernel with more than one tap. A bin may be empty. For the number of bins see
    `n_radial_bins`: 4 for 3x3, 7 for 5x5, 9 for 7x7, 43 for 31x31.
    """
    return np.floor(radii(kernel_size) + 0.5).astype(np.int64)


def n_radial_bins(kernel_size: tuple[int, ...]) -> int:
    """Return the number of radial bins of a kernel size: fewer than 46 in two dimensions, however many taps it has."""
    return int(radial_bins(kernel_size).max()) + 1


def histogram_range(taps: int) -> tuple[float, float]:
    """Return the range of the histograms of coefficients: [-sqrt(taps), sqrt(taps)], (-3, 3) for nine taps.

    No coefficient lies outside: a scaled kernel has no magnitude above 1, so its norm is at most sqrt(taps).
    """
    bound = math.sqrt(taps)
    return -bound, bound


def _validated(kernel_size: tuple[int, ...]) -> tuple[int, ...]:
    size = tuple(int(k) for k in kernel_size)
    if not size or min(size) < 1:
        raise ValueError(f"not a kernel size: {kernel_size!r}; give one or more axes of at least one tap")
    return size
