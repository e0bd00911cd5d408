"""The fixed basis that sketches are taken in: the discrete cosine transform, ordered by spatial frequency."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Of the published histograms of coefficients: as many bins as CNN Filter DB takes (arXiv 2203.15331).
BINS: Final = 70
# Kernels of more taps have no basis: a dense matrix of taps x taps, and its histogram, would outgrow their weights.
MAX_TAPS: Final = 49


def basis(kernel_size: tuple[int, ...]) -> NDArray[np.float64]:
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
    dense = np.ones((1, 1))
    for size in kernel_size:
        dense = np.kron(dense, cosines(size))
    return np.ascontiguousarray(dense[np.ravel_multi_index(frequencies(kernel_size).T, kernel_size)])


@cache
def cosines(size: int) -> NDArray[np.float64]:
    """Return the orthonormal DCT-II of one axis, float64 [size, size], a row a frequency; not to be written to."""
    frequency, tap = np.ogrid[:size, :size]
    rows = np.cos(np.pi * (2 * tap + 1) * frequency / (2 * size)) * math.sqrt(2 / size)
    rows[0] = math.sqrt(1 / size)
    rows.flags.writeable = False
    return rows


def frequencies(kernel_size: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the frequencies of each row of the basis, int64 [taps, axes], in its order.

    Sorted by radius sqrt(sum_a (f_a L / K_a)^2) with L = max K, that is by cycles a tap in units of 1 / (2 L), then by
    (f_1, ..., f_n).
    """
    size = _checked(kernel_size)
    squares, _ = _squared_radii(size)
    order = sorted(range(len(squares)), key=lambda i: (squares[i], i))
    return np.stack(np.unravel_index(order, size), axis=1).astype(np.int64)


def radial_bins(kernel_size: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the radial bin of every frequency, int64 [*kernel_size]: its radius, rounded, halves upwards.

    Radii as in `frequencies`. Bin 0 is the mean alone for every size; a bin of a size may be empty. Works for any
    number of taps.
    """
    size = _checked(kernel_size)
    squares, unit = _squared_radii(size)
    # floor(r + 1/2) = (floor(2 r) + 1) // 2, in whole numbers: no radius lies on the wrong side by rounding.
    rounded = [(math.isqrt(4 * square // unit**2) + 1) // 2 for square in squares]
    return np.array(rounded, np.int64).reshape(size)


def histogram_range(taps: int) -> tuple[float, float]:
    """Return the range of the histograms of coefficients: (-3, 3) for nine taps, in general -+sqrt(taps).

    No coefficient lies outside: a scaled kernel has no magnitude above 1, so its length is at most sqrt(taps).
    """
    bound = math.sqrt(taps)
    return -bound, bound


def _squared_radii(kernel_size: tuple[int, ...]) -> tuple[list[int], int]:
    """Return (radius * unit)^2 of every frequency, row-major, as whole numbers, and the unit."""
    common = math.lcm(*kernel_size)
    axes = [[(f * common // size) ** 2 for f in range(size)] for size in kernel_size]
    return [sum(parts) for parts in itertools.product(*axes)], common // max(kernel_size)


def _checked(kernel_size: tuple[int, ...]) -> tuple[int, ...]:
    size = tuple(int(k) for k in kernel_size)
    if not size or min(size) < 1:
        raise ValueError(f"no kernel size: {kernel_size!r}")
    return size
