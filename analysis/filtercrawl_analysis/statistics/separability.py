"""How near two-dimensional kernels are to products of a column and a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array


def separability(kernels: NDArray[np.floating], kernel_size: Sequence[int]) -> Array | None:
    """Return of each kernel [k, taps] the share of its energy in its best rank-one part: s_1^2 / sum s_i^2.

    Kernels of zeros, or with NaN and infinities, are left out. None unless the kernels have two axes longer than one.
    """
    if len(kernel_size) != 2 or min(kernel_size) < 2:
        return None
    wide = kernels.astype(np.float64)
    wide = wide[np.isfinite(wide).all(1) & wide.any(1)]
    values = np.linalg.svd(wide.reshape(-1, *kernel_size), compute_uv=False) ** 2
    found: Array = values[:, 0] / values.sum(1)
    return found


def noise_separability(kernel_size: Sequence[int], random: np.random.Generator, draws: int = 4000) -> float | None:
    """Return the mean separability of kernels of independent normal numbers, by simulation."""
    found = separability(random.standard_normal((draws, int(np.prod(kernel_size)))), kernel_size)
    return None if found is None else float(found.mean())
