"""All sums of a layer in one compiled pass, where numba is installed: half the time of separate passes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.numerics.dct_basis import MAX_TAPS

# Smaller layers are not worth the import of numba. The decision depends on the layer alone, not on what came before it,
# so that the same layer has the same sums in every run.
MIN_KERNELS: Final = 4096
# Kernels per block: few enough for the innermost cache.
_BLOCK: Final = 256

Array = NDArray[np.float64]


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
    """

    n: int
    n_dead: int
    norm_l1: float
    cubes: float
    fourths: float
    mean: Array
    scatter: Array


def should_compile(layer: LayerSummary, device: torch.device) -> bool:
    """Return whether `layer_sums` is the way to sum up a layer on a device: it is large enough, and numba works."""
    fits = device.type == "cpu" and 0 < layer.taps <= MAX_TAPS and layer.n_kernels >= MIN_KERNELS
    return fits and _compiled_sums() is not None


def layer_sums(kernels: torch.Tensor, threshold: float) -> LayerSums | None:
    """Return the sums of kernels in one pass; only where `should_compile` is true.

    Args:
        kernels: float32 [k, taps] on the CPU.
        threshold: Kernels with every |w| < threshold are dead.

    Returns:
        The sums; None if a weight is not finite.
    """
    taps = kernels.shape[1]
    sums, mean, scatter = np.zeros(3), np.zeros(taps), np.zeros((taps, taps))
    compiled = _compiled_sums()
    assert compiled is not None
    n_dead = compiled(kernels.contiguous().numpy(), threshold, sums, mean, scatter)
    if n_dead < 0:
        return None
    scatter += np.triu(scatter, 1).T
    norm_l1, cubes, fourths = sums.tolist()
    return LayerSums(
        n=len(kernels), n_dead=n_dead, norm_l1=norm_l1, cubes=cubes, fourths=fourths, mean=mean, scatter=scatter
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


def _layer_sums(kernels: NDArray[np.float32], threshold: float, sums: Array, mean: Array, scatter: Array) -> int:  # noqa: C901
    """Fill `sums`, `mean` and the upper triangle of `scatter`.

    Each block is accumulated around its own mean and merged with those before, as `KernelCovariance` does with chunks.
    A single function of plain loops compiles to a few instructions per weight.

    Args:
        kernels: float32 [n, taps].
        threshold: Kernels with every |w| < threshold are dead.
        sums: Zeros [3]; receives the sums of |w|, w^3 and w^4.
        mean: Zeros [taps].
        scatter: Zeros [taps, taps].

    Returns:
        The number of dead kernels, or -1 if a weight is not finite.
    """
    n, taps = kernels.shape
    block, peaks, delta = np.empty((taps, _BLOCK)), np.empty(_BLOCK), np.empty(taps)
    n_dead = 0
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        peaks[:size] = 0
        norm_l1 = 0.0
        for k in range(size):
            for tap in range(taps):
                block[tap, k] = kernels[start + k, tap]
        for tap in range(taps):
            total, absolute, cubes, fourths = 0.0, 0.0, 0.0, 0.0
            for k in range(size):
                w = block[tap, k]
                magnitude = abs(w)
                peaks[k] = max(peaks[k], magnitude)
                total += w
                absolute += magnitude
                cubes += w * w * w
                fourths += w * w * w * w
            norm_l1 += absolute
            sums[1] += cubes
            sums[2] += fourths
            block_mean = total / size
            delta[tap] = block_mean - mean[tap]
            for k in range(size):
                block[tap, k] -= block_mean
        if not math.isfinite(norm_l1):
            return -1
        sums[0] += norm_l1
        for k in range(size):
            n_dead += peaks[k] < threshold
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
