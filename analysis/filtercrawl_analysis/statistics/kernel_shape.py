"""Symmetry and separability of kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array


def symmetry_projectors(kernel_size: Sequence[int]) -> dict[str, Array]:
    """Return the projectors [taps, taps] on kernels that a symmetry leaves as they are, by its name.

    even_point: all axes flipped; even_horizontal, even_vertical: the last, the first of two axes or more flipped;
    rotation: turned by 90 degrees, for square kernels of two axes. Axes of one tap are flipped by nobody.
    """
    places = np.arange(int(np.prod(kernel_size))).reshape(tuple(kernel_size))
    found = {"even_point": _mean([places, np.flip(places)])}
    if len(kernel_size) > 1:
        if kernel_size[-1] > 1:
            found["even_horizontal"] = _mean([places, np.flip(places, -1)])
        if kernel_size[0] > 1:
            found["even_vertical"] = _mean([places, np.flip(places, 0)])
    if len(kernel_size) == 2 and kernel_size[0] == kernel_size[1] > 1:
        found["rotation"] = _mean([np.rot90(places, turns) for turns in range(4)])
    return found


def _mean(images: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]) -> Array:
    """The mean of a group of permutations projects on what all of them leave."""
    identity = np.eye(images[0].size)
    found: Array = np.mean([identity[image.ravel()] for image in images], axis=0)
    return found


def energy_share(energy: Array, projector: Array) -> Array:
    """Return the share of the energy sum k k^T [s, taps, taps] within a subspace, [s]; NaN where there is none."""
    total = np.trace(energy, axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.where(total > 0, np.einsum("ij,sji->s", projector, energy) / total, np.nan)
    return found


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
