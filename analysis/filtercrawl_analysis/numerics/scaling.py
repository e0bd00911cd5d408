"""Scaling of kernels as in CNN Filter DB, in float16 without the cost of float16 arithmetic, chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import torch

from filtercrawl_analysis.numerics.dct_basis import MAX_TAPS

# Kernels per chunk: small enough for the cache, large enough to be worth a call.
CHUNK_KERNELS: Final = 8192
# Weights per chunk: limits the number of large kernels.
CHUNK_NUMBERS: Final = 524_288
# Magnitudes from here on round to infinity in float16.
OVERFLOW: Final = 65520.0


def kernels_per_chunk(taps: int) -> int:
    """Return how many kernels of so many taps are processed at a time."""
    return max(1, min(CHUNK_KERNELS, CHUNK_NUMBERS // taps))


def column_chunks(kernels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield kernels [k, taps] as chunks of columns, contiguous float32 [taps, n].

    Column layout makes the operations on chunks twice as fast as row layout.
    """
    taps = kernels.shape[1]
    for chunk in torch.split(kernels, kernels_per_chunk(taps)):
        # With few taps, stacking the columns takes half the time of a transposed copy.
        columns = torch.stack(chunk.unbind(1)) if taps <= MAX_TAPS else chunk.T.contiguous()
        yield columns.float()


def finite_columns(chunk: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Drop the kernels of a chunk that hold NaN or an infinity.

    Args:
        chunk: Kernels as columns, float32 [taps, k].

    Returns:
        The finite kernels [taps, n], the largest magnitude of each [n], and the largest of all (0 without kernels).
    """
    peaks = chunk.abs().amax(0)
    top = float(peaks.max()) if len(peaks) else 0.0
    if not math.isfinite(top):  # NaN propagates into the maximum: this one check clears most chunks
        is_finite = peaks.isfinite()
        chunk, peaks = chunk[:, is_finite], peaks[is_finite]
        top = float(peaks.max()) if len(peaks) else 0.0
    return chunk, peaks, top


def scale_kernels(kernels: torch.Tensor, peaks: torch.Tensor, top: float) -> torch.Tensor:
    """Cast kernels to float16 and divide each by its largest magnitude (arXiv 2203.15331).

    The quotient is computed in float32 and rounded once, which is how float16 is divided everywhere: the result is
    bit for bit that of numpy. Kernels beyond the range of float16, which the published order of operations turns into
    infinities and NaN, are first scaled to 1 in float32. A kernel that is zero in float16 stays zero.

    Args:
        kernels: Finite kernels as columns, float32 [taps, n].
        peaks: The largest magnitude of each, float32 [n].
        top: The largest of `peaks`.

    Returns:
        The scaled kernels as columns, float16 [taps, n].
    """
    if top >= OVERFLOW:
        kernels = kernels / torch.where(peaks >= OVERFLOW, peaks, 1.0)
    half = kernels.half().float()
    # No magnitude but zero is below the smallest of float16, so the lower bound only replaces divisors of zero kernels.
    return half.div_(half.abs().amax(0).clamp_(min=2.0**-24)).half()
