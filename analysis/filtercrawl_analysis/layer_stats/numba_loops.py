"""Loops over the kernels of a layer that numba compiles; `numba_kernels` imports this module where numba is installed.

Kernels are processed in blocks that fit the innermost cache, as columns: taps first, so that all loops run over
kernels. Functions are small, so that numba's inlining leaves a few instructions a weight.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.layer_stats.layer_sums import Array, FoldedBasis
from filtercrawl_analysis.numerics.scaling import OVERFLOW

Kernels = NDArray[np.float32]

# Kernels per block: few enough for the innermost cache.
BLOCK: Final = 256
# The bits of the exponent of a float32, and those of the smallest normal float16.
_EXPONENT, _SMALLEST_EXPONENT = np.int32(0x7F800000), np.int32(0x38800000)
# Added to the bits of a power of two they make it 1.5 * 2^13 times as large.
_ROUNDER: Final = np.int32((13 << 23) + (1 << 22))
_SMALLEST_HALF: Final = np.float32(2.0**-24)
_OVERFLOW: Final = np.float32(OVERFLOW)


class Totals(NamedTuple):
    """What is summed up: arrays of zeros that `add_layer` fills.

    Attributes:
        sums: Sums of |w|, w^3 and w^4, and the number of kernels of zeros, [4].
        means: Of the kernels, and of the scaled ones if these are wanted, [kinds, taps].
        scatters: Upper triangles of their scatter matrices, [kinds, taps, taps].
        histogram: Coefficients in each bin, [taps, bins].
    """

    sums: Array
    means: Array
    scatters: Array
    histogram: NDArray[np.int64]


def _compiled(*, exact: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function at its first call, to machine code that is cached on disk where there is a folder for it.

    Args:
        exact: Whether sums keep their order; else they may be reassociated into vector lanes. NaN and infinities keep
            their meaning. A single thread computes, so that sums do not depend on the number of threads.
    """
    fastmath = {"contract"} if exact else {"reassoc", "contract", "nsz"}
    options: dict[str, Any] = {"fastmath": fastmath, "error_model": "numpy", "nogil": True}

    def compile_function(function: Callable[..., Any]) -> Callable[..., Any]:
        with contextlib.suppress(RuntimeError):  # there is no folder
            cached: Callable[..., Any] = numba.njit(cache=True, **options)(function)
            return cached
        uncached: Callable[..., Any] = numba.njit(**options)(function)
        return uncached

    return compile_function


@_compiled()
def _transpose(rows: Kernels, columns: Kernels) -> None:
    """Copy kernels [size, taps] to columns [taps, BLOCK]."""
    size, taps = rows.shape
    for tap in range(0, taps - 2, 3):  # three at a time: a third of the time of one by one
        for k in range(size):
            columns[tap, k] = rows[k, tap]
            columns[tap + 1, k] = rows[k, tap + 1]
            columns[tap + 2, k] = rows[k, tap + 2]
    for tap in range(taps - taps % 3, taps):
        for k in range(size):
            columns[tap, k] = rows[k, tap]


@_compiled()
def _widen(columns: Kernels, size: int, block: Array) -> None:
    for tap in range(len(columns)):
        for k in range(size):
            block[tap, k] = columns[tap, k]


@_compiled()
def _add_powers(block: Array, size: int, peaks: Array, sums: Array) -> bool:
    """Add sums of |w|, w^3 and w^4, and find the largest magnitude of each kernel; false if a weight is not finite."""
    peaks[:size] = 0
    norm_l1 = 0.0
    for tap in range(len(block)):
        absolute, cubes, fourths = 0.0, 0.0, 0.0
        for k in range(size):
            w = block[tap, k]
            magnitude = abs(w)
            peaks[k] = max(peaks[k], magnitude)
            absolute += magnitude
            cubes += w * w * w
            fourths += w * w * w * w
        norm_l1 += absolute
        sums[1] += cubes
        sums[2] += fourths
    sums[0] += norm_l1
    return math.isfinite(norm_l1)


@_compiled()
def _center(block: Array, size: int) -> Array:
    """Subtract their mean from kernels, columns [taps, BLOCK]; return it, [taps]."""
    mean = np.empty(len(block))
    for tap in range(len(block)):
        total = 0.0
        for k in range(size):
            total += block[tap, k]
        mean[tap] = total / size
        for k in range(size):
            block[tap, k] -= mean[tap]
    return mean


@_compiled()
def _add_moments(block: Array, size: int, before: int, mean: Array, scatter: Array) -> None:
    """Add a block around its own mean, as `KernelCovariance` does with chunks; subtracts that mean from the block.

    Args:
        block: Columns of kernels, [taps, BLOCK].
        size: Number of kernels.
        before: Number of kernels added before.
        mean: Mean of all, [taps].
        scatter: Upper triangle of their scatter matrix, [taps, taps].
    """
    taps = len(block)
    delta = _center(block, size) - mean
    factor = before * size / (before + size)
    for i in range(taps):
        # Four products at a time share their loads; the remaining ones follow.
        for j in range(i, taps - 3, 4):
            a, b, c, d = 0.0, 0.0, 0.0, 0.0
            for k in range(size):
                w = block[i, k]
                a += w * block[j, k]
                b += w * block[j + 1, k]
                c += w * block[j + 2, k]
                d += w * block[j + 3, k]
            scatter[i, j] += a
            scatter[i, j + 1] += b
            scatter[i, j + 2] += c
            scatter[i, j + 3] += d
        for j in range(taps - (taps - i) % 4, taps):
            a = 0.0
            for k in range(size):
                a += block[i, k] * block[j, k]
            scatter[i, j] += a
        for j in range(i, taps):
            scatter[i, j] += factor * delta[i] * delta[j]
    mean += delta * (size / (before + size))


@_compiled(exact=True)
def _round_to_half(columns: Kernels, size: int) -> None:
    """Round to the nearest float16, ties to even, all of which are below 65520.

    A float16 of the exponent e is a multiple of 2^(e - 10), and those below 2^-14 are multiples of 2^-24. Adding
    1.5 * 2^(e + 13) leaves no smaller digits of a float32, and subtracting it again leaves the others.
    """
    rounders = np.empty(BLOCK, np.int32)
    addends, bits = rounders.view(np.float32), columns.view(np.int32)
    for tap in range(len(columns)):
        for k in range(size):
            rounders[k] = max(bits[tap, k] & _EXPONENT, _SMALLEST_EXPONENT) + _ROUNDER
        for k in range(size):
            columns[tap, k] = (columns[tap, k] + addends[k]) - addends[k]


@_compiled(exact=True)
def _scale(columns: Kernels, size: int, peaks: Array) -> int:
    """Scale as `scaling.scale_kernels`: float16, divided by the largest magnitude, float16 again.

    Returns:
        The number of kernels of zeros.
    """
    largest, n_zero, n_large = np.empty(BLOCK, np.float32), 0, 0
    for k in range(size):
        n_zero += peaks[k] == 0
        n_large += peaks[k] >= _OVERFLOW
    if n_large > 0:
        for tap in range(len(columns)):
            for k in range(size):
                columns[tap, k] /= np.float32(1.0 if peaks[k] < _OVERFLOW else peaks[k])
    _round_to_half(columns, size)
    largest[:size] = _SMALLEST_HALF
    for tap in range(len(columns)):
        for k in range(size):
            largest[k] = max(largest[k], abs(columns[tap, k]))
    for tap in range(len(columns)):
        for k in range(size):
            columns[tap, k] /= largest[k]
    _round_to_half(columns, size)
    return n_zero


@_compiled()
def _add_products(line: Array, size: int, factors: Array, rows: Array) -> None:
    """Add factors @ rows to a line."""
    n = len(factors)
    for j in range(0, n - 3, 4):
        a, b, c, d = factors[j], factors[j + 1], factors[j + 2], factors[j + 3]
        for k in range(size):
            line[k] += a * rows[j, k] + b * rows[j + 1, k] + c * rows[j + 2, k] + d * rows[j + 3, k]
    for j in range(n - n % 4, n):
        a = factors[j]
        for k in range(size):
            line[k] += a * rows[j, k]


@_compiled()
def _fold(block: Array, size: int, even: Array, odd: Array) -> None:
    """Fold kernels in the middle, columns [taps, BLOCK]; see `FoldedBasis`."""
    half, last = len(odd), len(block) - 1
    for j in range(half):
        for k in range(size):
            even[j, k] = block[j, k] + block[last - j, k]
            odd[j, k] = block[j, k] - block[last - j, k]
    if half < len(even):
        even[half, :size] = block[half, :size]


@_compiled()
def _tally(numbers: NDArray[np.uint32], size: int, histogram: NDArray[np.int64]) -> None:
    """Count numbers [components, BLOCK] of bins, [components, bins]."""
    n = len(numbers)
    for i in range(0, n - 2, 3):  # not one by one: an increment may have to wait for the one before
        for k in range(size):
            histogram[i, numbers[i, k]] += 1
            histogram[i + 1, numbers[i + 1, k]] += 1
            histogram[i + 2, numbers[i + 2, k]] += 1
    for i in range(n - n % 3, n):
        for k in range(size):
            histogram[i, numbers[i, k]] += 1


@_compiled()
def _count(block: Array, size: int, basis: FoldedBasis, histogram: NDArray[np.int64]) -> None:
    """Count the coefficients of kernels, columns [taps, BLOCK], in the bins of a histogram [taps, bins]."""
    taps, bins = histogram.shape
    even, odd, line = np.empty((taps - taps // 2, BLOCK)), np.empty((taps // 2, BLOCK)), np.empty(BLOCK)
    numbers = np.empty((taps, BLOCK), np.uint32)
    _fold(block, size, even, odd)
    for i in range(taps):
        line[:size] = basis.first[i]
        if basis.has_even[i]:
            _add_products(line, size, basis.even[i], even)
        if basis.has_odd[i]:
            _add_products(line, size, basis.odd[i], odd)
        for k in range(size):
            numbers[i, k] = np.int32(min(max(line[k], 0.0), bins - 0.5))
    _tally(numbers, size, histogram)


@_compiled()
def add_layer(kernels: Kernels, threshold: float, basis: FoldedBasis, totals: Totals) -> int:
    """Add all kernels of a layer, block by block: first as they are, then scaled if there are two means.

    Args:
        kernels: float32 [n, taps], contiguous.
        threshold: Kernels with every |w| < threshold are dead.
        basis: Where coefficients of scaled kernels are counted.
        totals: Zeros, to be filled.

    Returns:
        The number of dead kernels, or -1 if a weight is not finite.
    """
    n, taps = kernels.shape
    columns, block, peaks = np.empty((taps, BLOCK), np.float32), np.empty((taps, BLOCK)), np.empty(BLOCK)
    n_dead = 0
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        _transpose(kernels[start : start + size], columns)
        _widen(columns, size, block)
        if not _add_powers(block, size, peaks, totals.sums):
            return -1
        for k in range(size):
            n_dead += peaks[k] < threshold
        _add_moments(block, size, start, totals.means[0], totals.scatters[0])
        if len(totals.means) == 2:
            totals.sums[3] += _scale(columns, size, peaks)
            _widen(columns, size, block)
            _count(block, size, basis, totals.histogram)
            _add_moments(block, size, start, totals.means[1], totals.scatters[1])
    return n_dead
