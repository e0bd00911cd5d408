"""One look at kernels as machine code, where numba is installed: half the time that passes over them take."""

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

# Layers of fewer are not worth the import of numba. The layer alone decides, not what came before it: the same layer
# has the same sums in every run.
MIN_KERNELS: Final = 4096
# Kernels taken at a time: few enough for the innermost cache.
_BLOCK: Final = 256

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LayerSums:
    """Of finite kernels: n and n_dead, sum |w|, w^3, w^4, and mean [taps] and scatter [taps, taps], all float64."""

    n: int
    n_dead: int
    norm_l1: float
    cubes: float
    fourths: float
    mean: Array
    scatter: Array


def should_compile(layer: LayerSummary, device: torch.device) -> bool:
    """Return whether kernels of a layer on a device are for `look`."""
    fits = device.type == "cpu" and 0 < layer.taps <= MAX_TAPS and layer.n_kernels >= MIN_KERNELS
    return fits and _machine_code() is not None


def layer_sums(kernels: torch.Tensor, threshold: float) -> LayerSums | None:
    """Return what is to be known of kernels, float32 [k, taps] on the CPU; None where a number is not finite.

    threshold: kernels with every |w| < threshold are dead. Only for what is `should_compile`.
    """
    taps = kernels.shape[1]
    sums, mean, scatter = np.zeros(3), np.zeros(taps), np.zeros((taps, taps))
    code = _machine_code()
    assert code is not None
    n_dead = code(kernels.contiguous().numpy(), threshold, sums, mean, scatter)
    if n_dead < 0:
        return None
    scatter += np.triu(scatter, 1).T
    norm_l1, cubes, fourths = sums.tolist()
    return LayerSums(
        n=len(kernels), n_dead=n_dead, norm_l1=norm_l1, cubes=cubes, fourths=fourths, mean=mean, scatter=scatter
    )


@cache
def _machine_code() -> Callable[..., int] | None:
    """Return `_look` as machine code, made at its first call and kept on disk; None without a numba that works."""
    try:
        import numba
    except ImportError:
        return None
    # Sums may be taken in lanes; NaN and infinities stay what they are. One thread: sums depend on no number of them.
    options: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy", "nogil": True}
    with contextlib.suppress(RuntimeError):  # no folder to keep it in
        kept: Callable[..., int] = numba.njit(cache=True, **options)(_layer_sums)
        return kept
    made: Callable[..., int] = numba.njit(**options)(_layer_sums)
    return made


def _layer_sums(kernels: NDArray[np.float32], threshold: float, sums: Array, mean: Array, scatter: Array) -> int:  # noqa: C901
    """Fill sums [3], mean [taps] and the upper half of scatter [taps, taps], all zeros; return n_dead or -1.

    Each block is taken around its own mean and merged with those before, as `KernelCovariance` does with chunks. In
    loops alone, and one function: that is what compiles to a few instructions a number.
    """
    n, taps = kernels.shape
    block, peaks, between = np.empty((taps, _BLOCK)), np.empty(_BLOCK), np.empty(taps)
    n_dead = 0
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        peaks[:size] = 0
        magnitudes = 0.0
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
            magnitudes += absolute
            sums[1] += cubes
            sums[2] += fourths
            here = total / size
            between[tap] = here - mean[tap]
            for k in range(size):
                block[tap, k] -= here
        if not math.isfinite(magnitudes):
            return -1
        sums[0] += magnitudes
        for k in range(size):
            n_dead += peaks[k] < threshold
        share = start * size / (start + size)
        for i in range(taps):
            # Four products at a time share what is loaded; then those left over.
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
                scatter[i, j] += share * between[i] * between[j]
        for tap in range(taps):
            mean[tap] += between[tap] * (size / (start + size))
    return n_dead
