"""The discrete cosine transform of kernels of any size, one axis after the other."""

from __future__ import annotations

import math
from typing import Final

import torch

from filtercrawl_analysis.numerics.dct_basis import dct_matrix

# An axis of more taps goes through an FFT: its square matrix would outgrow the kernels.
_LONGEST: Final = 128


def dct(kernels: torch.Tensor, kernel_size: tuple[int, ...]) -> torch.Tensor:
    """Return the orthonormal n-D DCT-II of columns, float64 [taps, n], coefficients in row-major order of frequencies.

    The same transform as `basis` holds up to its order, without a matrix of taps x taps.
    """
    turned = kernels.reshape(*kernel_size, -1)
    for size in reversed(kernel_size):
        # The last axis is transformed and comes first: after a round all lie as they did.
        last = turned.ndim - 2
        if size <= _LONGEST:
            rows = torch.tensor(dct_matrix(size), device=kernels.device)
            turned = torch.tensordot(rows, turned, dims=([1], [last]))
        else:
            turned = _fast(turned.movedim(last, 0))
    return turned.reshape(kernels.shape)


def _fast(x: torch.Tensor) -> torch.Tensor:
    """The transform along the first axis by an FFT of its length (Makhoul 1980)."""
    size = len(x)
    spectrum = torch.fft.fft(torch.cat([x[::2], x[1::2].flip(0)]), dim=0)
    angles = torch.arange(size, dtype=x.dtype, device=x.device) * (math.pi / (2 * size))
    angles = angles.view(-1, *[1] * (x.ndim - 1))
    out: torch.Tensor = (spectrum.real * angles.cos() + spectrum.imag * angles.sin()) * math.sqrt(2 / size)
    out[0] *= math.sqrt(0.5)
    return out
