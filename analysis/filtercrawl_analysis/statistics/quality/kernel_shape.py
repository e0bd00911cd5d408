"""Symmetry and separability of kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array


def symmetry_projectors(kernel_size: Sequence[int]) -> dict[str, Array]:
    """Return the orthogonal projections on the kernels that are invariant under a symmetry.

    `even_point`: flipping all axes. `even_horizontal`, `even_vertical`: flipping the last axis, or the first of two or
    more; left out for axes of one tap. `rotation`: turning by 90 degrees, for square two-dimensional kernels.

    Args:
        kernel_size: The size along each axis.

    Returns:
        Projections, float64 [taps, taps], by the name of the symmetry.
    """
    indices = np.arange(int(np.prod(kernel_size))).reshape(tuple(kernel_size))
    projectors = {"even_point": _group_average([indices, np.flip(indices)])}
    if len(kernel_size) > 1:
        if kernel_size[-1] > 1:
            projectors["even_horizontal"] = _group_average([indices, np.flip(indices, -1)])
        if kernel_size[0] > 1:
            projectors["even_vertical"] = _group_average([indices, np.flip(indices, 0)])
    if len(kernel_size) == 2 and kernel_size[0] == kernel_size[1] > 1:
        projectors["rotation"] = _group_average([np.rot90(indices, turns) for turns in range(4)])
    return projectors


def _group_average(images: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]) -> Array:
    """Return the mean of a group of permutation matrices, which projects on what all of them leave unchanged."""
    identity = np.eye(images[0].size)
    projector: Array = np.mean([identity[image.ravel()] for image in images], axis=0)
    return projector


def energy_share(second_moments: Array, projector: Array) -> Array:
    """Return the share of the energy of sets of kernels that lies within a subspace.

    Args:
        second_moments: Sums of k k^T of each set [S, taps, taps].
        projector: Orthogonal projection on the subspace [taps, taps].

    Returns:
        Shares [S]; NaN for a set without energy.
    """
    total = np.trace(second_moments, axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Array = np.where(total > 0, np.einsum("ij,sji->s", projector, second_moments) / total, np.nan)
    return share


def separability(kernels: NDArray[np.floating], kernel_size: Sequence[int]) -> Array | None:
    """Return the share of each kernel's energy in its best rank-one approximation: s_1^2 / sum_i s_i^2.

    s_i are the singular values of the kernel as a matrix. Kernels of zeros, or with NaN or infinities, are left out.

    Args:
        kernels: Kernels [k, taps].
        kernel_size: The size along each axis.

    Returns:
        Shares [n]; None unless kernels have two axes, both longer than one tap.
    """
    if len(kernel_size) != 2 or min(kernel_size) < 2:
        return None
    wide = kernels.astype(np.float64)
    wide = wide[np.isfinite(wide).all(1) & wide.any(1)]
    energy = np.linalg.svd(wide.reshape(-1, *kernel_size), compute_uv=False) ** 2
    shares: Array = energy[:, 0] / energy.sum(1)
    return shares


def mean_separability(layers: Sequence[NDArray[np.floating]], kernel_size: Sequence[int]) -> Array:
    """Return the mean separability of the kernels of each layer [layers]; NaN where there is none.

    Args:
        layers: Kernels of each layer [k, taps].
        kernel_size: The size along each axis.
    """
    usable = [kernels[np.isfinite(kernels).all(1) & kernels.any(1)] for kernels in layers]
    shares = separability(np.concatenate(usable), kernel_size) if usable else None
    if shares is None:
        return np.full(len(layers), np.nan)
    ends = np.cumsum([len(kernels) for kernels in usable])
    return np.array([part.mean() if len(part) else np.nan for part in np.split(shares, ends[:-1])])


def noise_separability(kernel_size: Sequence[int], random: np.random.Generator, draws: int = 4000) -> float | None:
    """Return the mean separability of kernels of independent normal weights, by simulation; None as `separability`."""
    shares = separability(random.standard_normal((draws, int(np.prod(kernel_size)))), kernel_size)
    return None if shares is None else float(shares.mean())
