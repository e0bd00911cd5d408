"""Merge the branches of a block into the terms, the rest and the bias of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.extraction.effective.apply import center
from filtercrawl.extraction.effective.branches import Block, Branch, Gate
from filtercrawl.extraction.effective.recipe import LayerKey, Norm, Term, per_channel
from filtercrawl.extraction.effective.stored_norm import StoredModules, bias_of, read_numbers
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.to_float32 import to_float32

Array = NDArray[np.float64]


@dataclass
class MergedBranches:
    """The sum of branches.

    Attributes:
        shape: Shape of the main kernel, `[out, in/groups, *kernel_size]`.
        terms: Stored layers.
        rest: Sum of everything else, float64 `[out, in/groups, *size]`; None for 0.
        bias: Bias, `[out]`.
        eps_assumed: Whether the epsilon of a normalization is not stated.
    """

    shape: tuple[int, ...]
    terms: list[Term] = field(default_factory=list)
    rest: Array | None = None
    bias: Array = field(default_factory=lambda: np.zeros(0))
    eps_assumed: bool = False

    def add_rest(self, kernel: Array) -> None:
        """Add a kernel that lies in the center."""
        if self.rest is None:
            self.rest = kernel
            return
        size = tuple(map(max, self.rest.shape[2:], kernel.shape[2:]))
        total = np.zeros((*kernel.shape[:2], *size))
        total[center(self.rest.shape, total.shape)] += self.rest
        total[center(kernel.shape, total.shape)] += kernel
        self.rest = total


def merge(block: Block, modules: StoredModules) -> MergedBranches:
    """Read the numbers of the branches and sum them; raises CheckpointError if the file does not hold them."""
    main = block.branches[0].layer
    assert main is not None
    merged = MergedBranches(shape=main.shape, bias=np.zeros(main.out_channels))
    for branch in block.branches:
        _add(merged, branch, modules)
    return merged


def _add(merged: MergedBranches, branch: Branch, modules: StoredModules) -> None:
    out, axes = merged.shape[0], len(merged.shape)
    factor, bias = np.ones(out), np.zeros(out)
    kernel: Array | None = None
    if branch.first is not None:
        kernel, bias = _first(merged, branch, branch.first, modules)
    elif branch.layer is None:
        kernel = _identity(merged.shape)
    if branch.pool:
        window = np.ones(merged.shape[2:]) / np.prod(merged.shape[2:])
        assert kernel is not None
        kernel = kernel.reshape(*kernel.shape[:2], *(1,) * (axes - 2)) * window
    if branch.layer is not None and kernel is not None:
        kernel, bias = _followed_by(kernel, bias, _weight(branch.layer))
    if branch.layer is not None:
        own = bias_of(branch.layer, modules)
        bias = bias if own is None else bias + read_numbers(own)
    if branch.norm is not None:
        norm = _read(merged, branch.norm.read())
        factor, bias = norm.factor, norm.shift(bias)
    gate = -1.0 if branch.negative else 1.0
    multiplier = gate if branch.gate is None else gate * _gate(branch.gate)
    factor, merged.bias = factor * multiplier, merged.bias + bias * multiplier
    if kernel is None and branch.layer is not None and branch.layer.exclusion_reason is None:
        dilation = None if branch.dilation == 1 else (branch.dilation,) * (axes - 2)
        key = LayerKey(branch.layer.tensor.name, branch.layer.tensor.bank_index)
        scale = None if (factor == 1).all() else per_channel(factor, axes)
        merged.terms.append(Term(layer=key, scale=scale, dilation=dilation))
        return
    if kernel is None:
        assert branch.layer is not None
        kernel = _dilated(_weight(branch.layer), branch.dilation)
    merged.add_rest(kernel * per_channel(factor, axes))


def _first(merged: MergedBranches, branch: Branch, first: Layer, modules: StoredModules) -> tuple[Array, Array]:
    """Return kernel and bias of a pointwise convolution and the normalization behind it."""
    kernel = _weight(first)
    if branch.first_is_residual:
        kernel = kernel + _identity(kernel.shape)
    own = bias_of(first, modules)
    bias = np.zeros(len(kernel)) if own is None else read_numbers(own).astype(np.float64)
    if branch.first_norm is not None:
        norm = _read(merged, branch.first_norm.read())
        kernel, bias = kernel * per_channel(norm.factor, kernel.ndim), norm.shift(bias)
    return kernel, bias


def _read(merged: MergedBranches, norm: Norm) -> Norm:
    merged.eps_assumed = merged.eps_assumed or norm.eps is None
    return norm


def _identity(shape: tuple[int, ...]) -> Array:
    """Return the pointwise kernel `[out, in/groups, 1, ...]` that passes each channel on."""
    out, width = shape[:2]
    kernel = np.zeros((out, width))
    kernel[np.arange(out), np.arange(out) % width] = 1
    return kernel.reshape(out, width, *(1,) * (len(shape) - 2))


def _followed_by(first: Array, bias: Array, weight: Array) -> tuple[Array, Array]:
    """Return kernel and bias of a pointwise convolution followed by another one.

    The input of the second one is padded with what the first one makes of zeros, so that its bias counts at every tap.
    """
    groups = len(first) // weight.shape[1]
    taps = weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)
    points = first.reshape(groups, weight.shape[1], first.shape[1])
    kernel: Array = np.einsum("gomk,gmi->goik", taps, points)
    moved: Array = np.einsum("gomk,gm->go", taps, bias.reshape(groups, -1)).reshape(-1)
    return kernel.reshape(len(weight), first.shape[1], *weight.shape[2:]), moved


def _dilated(weight: Array, dilation: int) -> Array:
    sizes = [dilation * (size - 1) + 1 for size in weight.shape[2:]]
    kernel = np.zeros((*weight.shape[:2], *sizes))
    kernel[(slice(None), slice(None), *(slice(None, None, dilation) for _ in sizes))] = weight
    return kernel


def _gate(gate: Gate) -> Array:
    values = read_numbers(gate.tensor).astype(np.float64)
    values = (values if gate.row is None else values[gate.row]).reshape(-1)
    return 1 / (1 + np.exp(-values)) if gate.logistic else values


def _weight(layer: Layer) -> Array:
    return to_float32(layer, 0, layer.out_channels, torch.device("cpu")).numpy().astype(np.float64)
