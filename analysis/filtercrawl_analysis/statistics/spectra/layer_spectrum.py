"""The spectrum of one layer: of its weight as a matrix, at its taps, and of the convolution as an operator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from filtercrawl_analysis.numerics.marchenko_pastur import MarchenkoPastur, fit_marchenko_pastur
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.numerics.power_law import PowerLaw, fit_power_law
from filtercrawl_analysis.numerics.spectrum import (
    default_operator_size,
    double_on,
    matrix_singular_values,
    operator_norm_bound,
    operator_singular_range,
    tap_eigenvalues,
)

# Eigenvalues up to here are left out of the power law. WeightWatcher halves the eigenvalues of convolutions and leaves
# out those up to 1e-5.
SMALLEST_EIGENVALUE: Final = 2e-5
# WeightWatcher fits layers with so many eigenvalues or more.
MIN_EIGENVALUES: Final = 8


@dataclass(frozen=True, kw_only=True)
class MatrixSpectrum:
    """The singular values s_1 >= s_2 >= ... of the weight as a matrix, [out, in / groups * taps].

    With groups, the matrix is [out, in * taps] and its diagonal blocks are the groups.

    Attributes:
        singular_values: float64 [min(out, in * taps)], descending.
        spectral_norm: s_1.
        frobenius_norm: Root of the sum of s_i^2.
        stable_rank: sum of s_i^2 / s_1^2.
        effective_rank: exp of the entropy of s_i / sum of s_j (Roy and Vetterli 2007).
        rank: Singular values above s_1 * max(rows, columns) * 2^-52.
        condition_number: s_1 over the smallest; None where the rank is not full.
        decay_exponent: Slope of log s_i against log i, over the singular values that count for the rank; None for one.
    """

    singular_values: Array
    spectral_norm: float
    frobenius_norm: float
    stable_rank: float
    effective_rank: float
    rank: int
    condition_number: float | None
    decay_exponent: float | None


@dataclass(frozen=True, kw_only=True)
class TapSpectrum:
    """The eigenvalues of W_t W_t^T, for the matrix W_t, [out, in / groups], at each tap t, all together.

    These are the eigenvalues that WeightWatcher analyzes. Like it, they are of the stored weight, whatever its groups.

    Attributes:
        eigenvalues: float64 [taps * min(out, in / groups)], ascending.
        power_law: Fit to those above `SMALLEST_EIGENVALUE`; None for too few.
        marchenko_pastur: Fit to all of them; None for too few.
    """

    eigenvalues: Array
    power_law: PowerLaw | None
    marchenko_pastur: MarchenkoPastur | None


@dataclass(frozen=True, kw_only=True)
class OperatorSpectrum:
    """The convolution of periodic inputs with stride 1, as an operator (Sedghi, Gupta and Long 2019).

    Attributes:
        size: Length of each axis of the input.
        norm: Largest singular value.
        bound: Upper bound of the norm for inputs of any size, padded or not, with any stride.
        stable_rank: Squared Frobenius norm over squared norm, as a share of the size^d frequencies: comparable to the
            stable rank of a matrix [out, in].
        condition_number: Largest over smallest singular value; None where the smallest is a rounding error.
    """

    size: int
    norm: float
    bound: float
    stable_rank: float
    condition_number: float | None


@dataclass(frozen=True, kw_only=True)
class LayerSpectrum:
    """The spectrum of one layer.

    Attributes:
        matrix: Of the weight as a matrix; None where the groups are unknown.
        taps: Of the matrices at each tap.
        operator: Of the convolution; None where the groups are unknown.
    """

    matrix: MatrixSpectrum | None
    taps: TapSpectrum
    operator: OperatorSpectrum | None


def layer_spectrum(
    weight: ArrayLike, groups: int | None = 1, *, operator_size: int | None = None, device: str = "cpu"
) -> LayerSpectrum | None:
    """Compute the spectrum of a layer, in float64.

    Args:
        weight: `[out, in / groups, *kernel_size]`, for example of `torch.nn.Conv2d`.
        groups: Groups of the convolution; None if unknown.
        operator_size: Length of each axis of the input on which the operator is measured. By default the smallest power
            of two that is at least 8 and twice the kernel.
        device: Torch device; without float64 there, the CPU.

    Returns:
        The spectrum; None for a weight of zeros, or with NaN or infinities.

    Raises:
        ValueError: The weight has no taps, or the groups or the operator's size do not fit its shape.

    Example:
        >>> layer_spectrum(torch.nn.Conv2d(16, 32, 3).weight.detach()).matrix.stable_rank
    """
    array = np.asarray(weight, np.float64)
    if array.ndim < 3:
        raise ValueError(f"weight of shape {array.shape}: expected [out, in / groups, *kernel_size]")
    out, kernel_size = len(array), array.shape[2:]
    if groups is not None and (groups < 1 or out % groups):
        raise ValueError(f"{groups} groups do not divide {out} output channels")
    size = operator_size or default_operator_size(kernel_size)
    if size < 2 * max(kernel_size):
        raise ValueError(f"operator_size: {size} is less than twice the kernel of {max(kernel_size)} taps")
    if not np.isfinite(array).all() or not array.any():
        return None
    tensor = double_on(array.reshape(out, array.shape[1], -1), device)
    matrix = operator = None
    if groups is not None:
        shape = (out, array.shape[1] * groups * tensor.shape[2])
        matrix = summarize_singular_values(matrix_singular_values(tensor, groups), shape)
        largest, smallest = operator_singular_range(tensor, kernel_size, groups, size)
        operator = OperatorSpectrum(
            size=size,
            norm=largest,
            bound=operator_norm_bound(largest, kernel_size, size),
            stable_rank=matrix.frobenius_norm**2 / largest**2,
            condition_number=_ratio(largest, smallest, max(out, array.shape[1] * groups)),
        )
    taps = fit_eigenvalues(tap_eigenvalues(tensor), (out, array.shape[1]))
    return LayerSpectrum(matrix=matrix, taps=taps, operator=operator)


def summarize_singular_values(values: Array, shape: Sequence[int]) -> MatrixSpectrum:
    """Summarize the singular values of a matrix.

    Args:
        values: In descending order; the first is positive.
        shape: Rows and columns of the matrix.
    """
    shares = values / values.sum()
    positive = shares[shares > 0]
    energy = float(np.sum(values**2))
    rank = int(np.count_nonzero(values > values[0] * max(shape) * np.finfo(np.float64).eps))
    return MatrixSpectrum(
        singular_values=values,
        spectral_norm=float(values[0]),
        frobenius_norm=math.sqrt(energy),
        stable_rank=energy / float(values[0]) ** 2,
        effective_rank=math.exp(-float(np.sum(positive * np.log(positive)))),
        rank=rank,
        condition_number=_ratio(float(values[0]), float(values[-1]), max(shape)),
        decay_exponent=_slope(np.log(values[:rank])) if rank > 1 else None,
    )


def fit_eigenvalues(eigenvalues: Array, shape: Sequence[int], smallest: float = SMALLEST_EIGENVALUE) -> TapSpectrum:
    """Fit a power law and the law of Marchenko and Pastur to eigenvalues.

    Args:
        eigenvalues: Of the matrices at the taps, ascending.
        shape: Sides of these matrices.
        smallest: Eigenvalues up to here are left out of the power law.
    """
    enough = len(eigenvalues) >= MIN_EIGENVALUES
    return TapSpectrum(
        eigenvalues=eigenvalues,
        power_law=fit_power_law(eigenvalues[eigenvalues > smallest]) if enough else None,
        marchenko_pastur=fit_marchenko_pastur(eigenvalues, max(shape), min(shape)) if enough else None,
    )


def _ratio(largest: float, smallest: float, side: int) -> float | None:
    return largest / smallest if smallest > largest * side * np.finfo(np.float64).eps else None


def _slope(logs: Array) -> float:
    positions = np.log(np.arange(1, len(logs) + 1))
    centered = positions - positions.mean()
    return float(centered @ logs / (centered @ centered))
