"""All sums of a layer in one compiled pass, where numba is installed: a third of the time of separate passes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.layer_stats.layer_sums import Array, BinnedBasis, LayerSums, ScaledSums
from filtercrawl_analysis.numerics.dct_basis import MAX_TAPS
from filtercrawl_analysis.numerics.scaling import OVERFLOW

# Smaller layers are not worth the import of numba. The decision depends on the layer alone, not on what came before it,
# so that the same layer has the same sums in every run.
MIN_KERNELS: Final = 4096
# Kernels per block: few enough for the innermost cache.
_BLOCK: Final = 256
# The smallest float16 with all digits, and the bits of it as a float32.
_NORMAL_HALF: Final = 2.0**-14
_NORMAL_HALF_BITS: Final = 0x38800000
# Multiples of 1 / _HALF_STEPS are the float16 below.
_HALF_STEPS: Final = 2.0**24


def should_compile(layer: LayerSummary, device: torch.device) -> bool:
    """Return whether `layer_sums` is the way to sum up a layer on a device: it is large enough, and numba works."""
    fits = device.type == "cpu" and 0 < layer.taps <= MAX_TAPS and layer.n_kernels >= MIN_KERNELS
    return fits and _compiled_sums() is not None


def layer_sums(kernels: torch.Tensor, threshold: float, basis: BinnedBasis | None = None) -> LayerSums | None:
    """Return the sums of kernels in one pass; only where `should_compile` is true.

    Args:
        kernels: float32 [k, taps] on the CPU.
        threshold: Kernels with every |w| < threshold are dead.
        basis: Where coefficients of scaled kernels are counted; None if nothing is wanted of scaled kernels.

    Returns:
        The sums; None if a weight is not finite.
    """
    taps, kinds = kernels.shape[1], 1 if basis is None else 2
    sums, means, scatters = np.zeros(4), np.zeros((kinds, taps)), np.zeros((kinds, taps, taps))
    places = np.zeros((0, 0)) if basis is None else basis.places()
    histogram = np.zeros((taps, 0 if basis is None else basis.bins), np.int64)
    compiled = _compiled_sums()
    assert compiled is not None
    n_dead = compiled(kernels.contiguous().numpy(), threshold, places, sums, means, scatters, histogram)
    if n_dead < 0:
        return None
    scatters += np.triu(scatters, 1).swapaxes(1, 2)
    norm_l1, cubes, fourths, n_zero = sums.tolist()
    n = len(kernels)
    scaled = None
    if basis is not None:
        counts = histogram.reshape(-1)
        scaled = ScaledSums(n=n, n_zero=int(n_zero), mean=means[1], scatter=scatters[1], histogram=counts)
    return LayerSums(
        n=n,
        n_dead=n_dead,
        norm_l1=norm_l1,
        cubes=cubes,
        fourths=fourths,
        mean=means[0],
        scatter=scatters[0],
        scaled=scaled,
    )


@cache
def _compiled_sums() -> Callable[..., int] | None:
    """Return `_layer_sums` compiled at its first call and cached on disk; None without a working numba."""
    try:
        import numba
    except ImportError:
        return None
    # Sums may be reassociated into vector lanes; NaN and infinities keep their meaning. A single thread, so that sums
    # do not depend on the number of threads.
    options: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy", "nogil": True}
    with contextlib.suppress(RuntimeError):  # there is no folder to cache the machine code in
        cached: Callable[..., int] = numba.njit(cache=True, **options)(_layer_sums)
        return cached
    uncached: Callable[..., int] = numba.njit(**options)(_layer_sums)
    return uncached


def _layer_sums(  # noqa: C901 - one function of plain loops, which compiles to little
    kernels: NDArray[np.float32],
    threshold: float,
    places: Array,
    sums: Array,
    means: Array,
    scatters: Array,
    histogram: NDArray[np.int64],
) -> int:
    """Fill `sums`, `means`, the upper triangles of `scatters`, and `histogram`.

    Each block is accumulated around its own mean and merged with those before, as `KernelCovariance` does with chunks:
    first the kernels, then, if there are two means, the same kernels scaled. A single function of plain loops compiles
    to a few instructions per weight.

    Args:
        kernels: float32 [n, taps].
        threshold: Kernels with every |w| < threshold are dead.
        places: What `BinnedBasis.places` returns, for scaled kernels.
        sums: Zeros [4]; receives the sums of |w|, w^3 and w^4, and the number of kernels of zeros.
        means: Zeros [kinds, taps]: of the kernels, and of the scaled ones.
        scatters: Zeros [kinds, taps, taps].
        histogram: Zeros [taps, bins].

    Returns:
        The number of dead kernels, or -1 if a weight is not finite.
    """
    n, taps = kernels.shape
    bins = histogram.shape[1]
    block, peaks, delta = np.empty((taps, _BLOCK)), np.empty(_BLOCK), np.empty(taps)
    half, tops, line = np.empty((taps, _BLOCK), np.float32), np.empty(_BLOCK, np.float32), np.empty(_BLOCK)
    bits, bin_numbers = half.view(np.uint32), np.empty((taps, _BLOCK), np.uint32)
    n_dead = 0
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        peaks[:size] = 0
        norm_l1 = 0.0
        for k in range(size):
            for tap in range(taps):
                block[tap, k] = kernels[start + k, tap]
        for tap in range(taps):
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
        if not math.isfinite(norm_l1):
            return -1
        sums[0] += norm_l1
        for k in range(size):
            n_dead += peaks[k] < threshold
        for kind in range(len(means)):
            if kind == 1:
                # Scaling as in `scaling.scale_kernels`: float16, divided by the largest magnitude, float16 again.
                for k in range(size):
                    sums[3] += peaks[k] == 0
                for tap in range(taps):
                    for k in range(size):
                        half[tap, k] = kernels[start + k, tap] / (1.0 if peaks[k] < OVERFLOW else peaks[k])
                for step in range(2):
                    for tap in range(taps):
                        for k in range(size):  # the last 13 bits are rounded to even
                            b = bits[tap, k]
                            rounded = (b + 0xFFF + ((b >> 13) & 1)) & 0xFFFFE000
                            bits[tap, k] = rounded if (b & 0x7FFFFFFF) >= _NORMAL_HALF_BITS else b
                        for k in range(size):
                            w = half[tap, k]
                            near = np.float32(np.rint(w * np.float32(_HALF_STEPS))) * np.float32(1 / _HALF_STEPS)
                            half[tap, k] = near if abs(w) < np.float32(_NORMAL_HALF) else w
                    if step == 0:
                        tops[:size] = 1 / _HALF_STEPS
                        for tap in range(taps):
                            for k in range(size):
                                tops[k] = max(tops[k], abs(half[tap, k]))
                        for tap in range(taps):
                            for k in range(size):
                                half[tap, k] /= tops[k]
                for tap in range(taps):
                    for k in range(size):
                        block[tap, k] = half[tap, k]
                for i in range(taps):
                    line[:size] = places[i, 0]
                    for j in range(0, taps - 3, 4):
                        a, b, c, d = places[i, j + 1], places[i, j + 2], places[i, j + 3], places[i, j + 4]
                        for k in range(size):
                            line[k] += a * block[j, k] + b * block[j + 1, k] + c * block[j + 2, k] + d * block[j + 3, k]
                    for j in range(taps - taps % 4, taps):
                        a = places[i, j + 1]
                        for k in range(size):
                            line[k] += a * block[j, k]
                    for k in range(size):
                        bin_numbers[i, k] = np.int32(min(max(line[k], 0.0), bins - 0.5))
                for k in range(size):
                    for i in range(taps):
                        histogram[i, bin_numbers[i, k]] += 1
            mean, scatter = means[kind], scatters[kind]
            for tap in range(taps):
                total = 0.0
                for k in range(size):
                    total += block[tap, k]
                block_mean = total / size
                delta[tap] = block_mean - mean[tap]
                for k in range(size):
                    block[tap, k] -= block_mean
            factor = start * size / (start + size)
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
            for tap in range(taps):
                mean[tap] += delta[tap] * (size / (start + size))
    return n_dead
