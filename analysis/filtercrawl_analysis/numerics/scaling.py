"""Kernels scaled as CNN Filter DB scales them, in float16 and without the cost of it; and the chunks they come in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import torch

from filtercrawl_analysis.numerics.dct_basis import MAX_TAPS

# Kernels taken at a time: small enough for the cache, large enough to be worth a call. Large kernels: fewer.
CHUNK_KERNELS: Final = 8192
CHUNK_NUMBERS: Final = 524_288
# From here on a magnitude rounds to infinity in float16.
OVERFLOW: Final = 65520.0


def kernels_per_chunk(taps: int) -> int:
    """Return how many kernels are taken at a time."""
    return max(1, min(CHUNK_KERNELS, CHUNK_NUMBERS // taps))


def column_chunks(kernels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield kernels [k, taps] as chunks of columns, float32 [taps, n], contiguous: twice as fast as rows are."""
    taps = kernels.shape[1]
    for chunk in torch.split(kernels, kernels_per_chunk(taps)):
        # Of a few taps a stack of them is made in half the time of a transposed copy.
        turned = torch.stack(chunk.unbind(1)) if taps <= MAX_TAPS else chunk.T.contiguous()
        yield turned.float()


def finite_columns(chunk: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return those columns of a chunk [taps, n] that are all finite, their largest magnitudes [n] and that of all."""
    peaks = chunk.abs().amax(0)
    top = float(peaks.max()) if len(peaks) else 0.0
    if not math.isfinite(top):  # a NaN passes through: one cheap look clears most chunks
        sound = peaks.isfinite()
        chunk, peaks = chunk[:, sound], peaks[sound]
        top = float(peaks.max()) if len(peaks) else 0.0
    return chunk, peaks, top


def scale_kernels(kernels: torch.Tensor, peaks: torch.Tensor, top: float) -> torch.Tensor:
    """Return each kernel in float16 over its own largest magnitude there, as float16 [taps, n].

    kernels, peaks, top: as `finite` gives them. A kernel that is zero in float16 stays zero. The quotient is taken in
    float32 and rounded once, which is how float16 is divided everywhere: bit for bit what numpy gives. A kernel that
    float16 cannot hold, which the published order makes infinite and NaN, is brought to 1 in float32 first.
    """
    if top >= OVERFLOW:
        kernels = kernels / torch.where(peaks >= OVERFLOW, peaks, 1.0)
    half = kernels.half().float()
    # No magnitude but zero is below the least of float16: what is divided by it instead of by 1 is all zero.
    return half.div_(half.abs().amax(0).clamp_(min=2.0**-24)).half()
