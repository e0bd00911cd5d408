"""The discrete cosine transform of kernels of any size, one axis at a time."""

from __future__ import annotations

import math
from typing import Final

import torch

from filtercrawl_analysis.numerics.dct_basis import dct_matrix

# Longer axes are transformed by FFT: their dense matrix would outgrow the kernels.
_MAX_DENSE_AXIS: Final = 128


def dct(kernels: torch.Tensor, kernel_size: tuple[int, ...]) -> torch.Tensor:
    """Return the orthonormal n-dimensional DCT-II of kernels.

    The same transform as `dct_basis`, but for the order of the coefficients, without a matrix of taps x taps.

    Args:
        kernels: Kernels as columns, row-major, float64 [taps, n].
        kernel_size: The size of the kernels along each axis.

    Returns:
        Coefficients as columns, float64 [taps, n], in row-major order of their frequencies.
    """
    x = kernels.reshape(*kernel_size, -1)
    for size in reversed(kernel_size):
        # The last kernel axis is transformed and moved to the front: after one pass, all axes are back in place.
        last = x.ndim - 2
        if size <= _MAX_DENSE_AXIS:
            matrix = torch.tensor(dct_matrix(size), device=kernels.device)
            x = torch.tensordot(matrix, x, dims=([1], [last]))
        else:
            x = _dct_by_fft(x.movedim(last, 0))
    return x.reshape(kernels.shape)


def _dct_by_fft(x: torch.Tensor) -> torch.Tensor:
    """Transform along the first axis by an FFT of its length (Makhoul 1980)."""
    size = len(x)
    spectrum = torch.fft.fft(torch.cat([x[::2], x[1::2].flip(0)]), dim=0)
    angles = torch.arange(size, dtype=x.dtype, device=x.device) * (math.pi / (2 * size))
    angles = angles.view(-1, *[1] * (x.ndim - 1))
    out: torch.Tensor = (spectrum.real * angles.cos() + spectrum.imag * angles.sin()) * math.sqrt(2 / size)
    out[0] *= math.sqrt(0.5)
    return out
