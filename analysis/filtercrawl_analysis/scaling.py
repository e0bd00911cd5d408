"""Kernels scaled as CNN Filter DB scales them, in float16 and without the cost of it; and the chunks they come in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch

# Kernels taken at a time: small enough for the cache, large enough to be worth a call. Large kernels: fewer.
CHUNK_KERNELS: Final = 8192
CHUNK_NUMBERS: Final = 524_288
# From here on a magnitude rounds to infinity in float16.
OVERFLOW: Final = 65520.0


def columns(kernels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield kernels [k, taps] as chunks of columns, float32 [taps, n], contiguous: twice as fast as rows are."""
    step = max(1, min(CHUNK_KERNELS, CHUNK_NUMBERS // kernels.shape[1]))
    for chunk in torch.split(kernels, step):
        yield chunk.T.to(torch.float32, memory_format=torch.contiguous_format)


def scaled(kernels: torch.Tensor, peaks: torch.Tensor | None = None) -> torch.Tensor:
    """Return each kernel in float16 over its own largest magnitude there, as float16 [taps, n].

    kernels: columns, float32 [taps, n], all finite; peaks: their largest magnitudes [n], where known. A kernel that is
    zero in float16 stays zero. The quotient is taken in float32 and rounded once, which is how float16 is divided
    everywhere: bit for bit what numpy gives. A kernel that float16 cannot hold, which the published order makes
    infinite and NaN, is brought to 1 in float32 first.
    """
    if peaks is None:
        peaks = kernels.abs().amax(0)
    if len(peaks) and float(peaks.max()) >= OVERFLOW:
        kernels = kernels / torch.where(peaks >= OVERFLOW, peaks, 1.0)
    half = kernels.half().float()
    tops = half.abs().amax(0)
    return (half / tops.masked_fill_(tops == 0, 1.0)).half()
