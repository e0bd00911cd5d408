"""Singular values of a convolution's weight: as a matrix, at each tap, and as an operator on periodic inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

import torch

from filtercrawl_analysis.numerics.moments import Array

# Below this ratio of the smallest to the largest singular value, its square is lost in the rounding of a Gram matrix.
_GRAM_RATIO: Final = 1e-5
# Bytes of the transfer functions that are in memory at a time; at least those of one frequency.
_BLOCK_BYTES: Final = 64 * 2**20
_MIN_OPERATOR_SIZE: Final = 8


def double_on(weight: Array, device: str) -> torch.Tensor:
    """Return a float64 tensor on the device, on the CPU where that has no float64 (mps)."""
    return torch.as_tensor(weight, dtype=torch.float64, device="cpu" if device.startswith("mps") else device)


def block_singular_values(blocks: torch.Tensor) -> torch.Tensor:
    """Return the singular values of each block.

    They are the roots of the eigenvalues of the smaller Gram matrix, and of blocks so close to singular that these are
    rounding errors, the result of a singular value decomposition.

    Args:
        blocks: float64 or complex128 [blocks, m, n].

    Returns:
        float64 [blocks, min(m, n)], each in ascending order.
    """
    small = min(blocks.shape[1:])
    if small == 1:
        norms: torch.Tensor = torch.linalg.vector_norm(blocks, dim=(1, 2))
        return norms.unsqueeze(1)
    wide = blocks if blocks.shape[1] == small else blocks.mH
    values: torch.Tensor = torch.linalg.eigvalsh(wide @ wide.mH).clamp_(min=0).sqrt_()
    inexact = values[:, 0] < _GRAM_RATIO * values[:, -1]
    if inexact.any():
        values[inexact] = torch.linalg.svdvals(wide[inexact]).flip(1)
    return values


def matrix_singular_values(weight: torch.Tensor, groups: int) -> Array:
    """Return the singular values of a weight as a matrix, [out, in / groups * taps].

    With groups, of the matrix [out, in * taps] whose diagonal blocks are those of the groups: all of its blocks'.

    Args:
        weight: float64 [out, in / groups, taps].
        groups: Groups of the convolution.

    Returns:
        float64 [min(out, in * taps)], in descending order.
    """
    values = block_singular_values(weight.reshape(groups, len(weight) // groups, -1))
    return values.flatten().sort(descending=True).values.cpu().numpy()


def tap_eigenvalues(weight: torch.Tensor) -> Array:
    """Return the squared singular values of the matrices [out, in / groups] at each tap, all together.

    Args:
        weight: float64 [out, in / groups, taps].

    Returns:
        float64 [taps * min(out, in / groups)], in ascending order.
    """
    values = block_singular_values(weight.permute(2, 0, 1))
    return values.flatten().square().sort().values.cpu().numpy()


def default_operator_size(kernel_size: Sequence[int]) -> int:
    """Return the smallest power of two that is at least 8 and twice the longest axis of the kernel."""
    return max(_MIN_OPERATOR_SIZE, 1 << math.ceil(math.log2(2 * max(kernel_size))))


def operator_singular_range(
    weight: torch.Tensor, kernel_size: Sequence[int], groups: int, size: int
) -> tuple[float, float]:
    """Return the largest and smallest singular value of the convolution of periodic inputs, with stride 1.

    They are those of the transfer functions T(w) = sum over taps t of W_t exp(-2 pi i w t / size), [out, in] at each
    of the size^d frequencies w (Sedghi, Gupta and Long 2019, arXiv 1805.10408); T(-w) has those of T(w).

    Args:
        weight: float64 [out, in / groups, taps].
        kernel_size: The size along each axis.
        groups: Groups of the convolution.
        size: Length of each axis of the input, at least that of the kernel.
    """
    positions = torch.tensor(list(product(*map(range, kernel_size))), dtype=torch.float64, device=weight.device)
    largest, smallest = 0.0, math.inf
    flat = weight.reshape(-1, weight.shape[2]).T.to(torch.complex128)
    # Along an axis of one tap, T is the same at all frequencies.
    sizes = [size if axis > 1 else 1 for axis in kernel_size]
    for frequencies in _frequency_blocks(sizes, flat.shape[1]):
        angles = torch.tensor(frequencies, dtype=torch.float64, device=weight.device) @ positions.T
        phases = torch.polar(torch.ones_like(angles), angles * (-2 * math.pi / size))
        transfer = (phases @ flat).reshape(len(frequencies) * groups, len(weight) // groups, -1)
        values = block_singular_values(transfer)
        largest, smallest = max(largest, float(values.max())), min(smallest, float(values.min()))
    return largest, smallest


def operator_norm_bound(norm: float, kernel_size: Sequence[int], size: int) -> float:
    """Return an upper bound of the norm on inputs of any size, periodic or padded with zeros, and with any stride.

    For unit vectors u and v, Re u* T(w) v is up to a phase a trigonometric polynomial of degree k // 2 in each
    frequency. Near its maximum it is at least the maximum times cos(k // 2 (w - w0)) (M. Riesz 1914), and no w0 is
    further than pi / size from the grid. Padding and strides leave out columns and rows.

    Args:
        norm: The norm on periodic inputs of `size`.
        kernel_size: The size along each axis; no axis is longer than half of `size`.
        size: Length of each axis of the input.
    """
    return norm / math.prod(math.cos(math.pi * (axis // 2) / size) for axis in kernel_size)


def _frequency_blocks(sizes: Sequence[int], numbers: int) -> Iterator[list[tuple[int, ...]]]:
    """Yield one frequency of each pair w, -w, in blocks whose transfer functions fit the memory.

    Args:
        sizes: Frequencies along each axis.
        numbers: Numbers in the transfer function at one frequency.
    """
    step = max(1, _BLOCK_BYTES // (16 * numbers))
    block: list[tuple[int, ...]] = []
    for frequency in product(*map(range, sizes)):
        if frequency <= tuple(-w % size for w, size in zip(frequency, sizes, strict=True)):
            block.append(frequency)
        if len(block) == step:
            yield block
            block = []
    if block:
        yield block
