"""Recognize designed filters stored as convolutions: Fourier bases and FIR filters."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.extraction.layer import Layer

# Learned filters of this length have a far smaller share of their energy in one spectral line.
_TAPS: Final = 32
_SHARE: Final = 0.9


def is_fixed_filter_bank(layer: Layer, kernels: NDArray[np.float32]) -> bool:
    """Return whether a layer is a designed transform, not a learned one.

    Only long 1-D kernels with one input channel are tested.

    Args:
        layer: The layer.
        kernels: A sample of its kernels, `[n, taps]`.
    """
    long = [size for size in layer.kernel_size if size > 1]
    if len(long) != 1 or layer.taps < _TAPS or layer.shape[1] != 1:
        return False
    return is_linear_phase(kernels) or is_sinusoidal_basis(kernels)


def is_linear_phase(kernels: NDArray[np.float32]) -> bool:
    """Return whether all kernels are symmetric, bit for bit; designed filters are, learned ones are not."""
    return bool(np.array_equal(kernels, kernels[:, ::-1]) and np.any(kernels != kernels[:, :1]))


def is_sinusoidal_basis(kernels: NDArray[np.float32]) -> bool:
    """Return whether the kernels `[n, taps]` are windowed sinusoids with one frequency each.

    The share of a kernel's energy within two bins of its strongest spectral line is close to 1 for a windowed sine or
    cosine; the median over the samples decides.
    """
    if len(kernels) < 8:
        return False
    spectrum = np.abs(np.fft.rfft(kernels.astype(np.float64), axis=1)) ** 2
    total = spectrum.sum(axis=1)
    if not np.all(np.isfinite(total)):
        return False
    lines = spectrum.argmax(axis=1)[:, None] + np.arange(-2, 3)
    inside = np.take_along_axis(spectrum, np.clip(lines, 0, spectrum.shape[1] - 1), axis=1)
    inside[(lines < 0) | (lines >= spectrum.shape[1])] = 0
    shares = inside.sum(axis=1)[total > 0] / total[total > 0]
    distinct = len(np.unique(spectrum.argmax(axis=1)))
    return bool(len(shares) >= 8 and np.median(shares) > _SHARE and distinct >= len(shares) // 4)
