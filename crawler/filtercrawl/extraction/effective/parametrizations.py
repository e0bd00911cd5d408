"""Weights that a network computes from a stored one: standardized, or normalized by lengths or singular values.

A recipe needs all numbers of the formula: those in the checkpoint, and what the built network states. The scaled
standardization of NFNets has a factor that depends on the activation, and other spectral normalizations iterate at
inference: by names alone these have none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.effective.recipe import Step, per_channel
from filtercrawl.extraction.effective.stored_norm import StoredModules, is_readable, module_key, read_numbers
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.state_dict_names import split_raw_parameter_name
from filtercrawl.extraction.to_float32 import to_float32

Array = NDArray[np.float64]

# Names of lengths by names of directions, of `torch.nn.utils.weight_norm` and `parametrizations.weight_norm`.
_LENGTHS: Final = {
    "weight_v": "weight_g",
    "parametrizations.weight.original1": "parametrizations.weight.original0",
}
# Names of singular vectors by names of weights, of `torch.nn.utils.spectral_norm` and its parametrization.
_VECTORS: Final = {
    "weight_orig": ("weight_u", "weight_v"),
    "parametrizations.weight.original": ("parametrizations.weight.0._u", "parametrizations.weight.0._v"),
}


@dataclass(frozen=True, kw_only=True)
class Parametrization:
    """How a weight follows from the stored one.

    Attributes:
        step: Its name.
        layer: The stored layer.
        tensors: The other stored tensors: the lengths, the two singular vectors, or the gain if there is one.
        eps: Of a standardization, what is added to the variance.
        factor: Of a standardization, a number for the whole layer.
    """

    step: Step
    layer: Layer
    tensors: tuple[StoredTensor, ...]
    eps: float = 0.0
    factor: float = 1.0

    def scale_and_shift(self) -> tuple[Array, Array | None] | None:
        """Return what the raw weight is multiplied by, and what is added, in the shapes that `Term` has.

        Returns:
            Scale and shift; None if they are not finite, as for a filter of length 0.

        Raises:
            CheckpointError: The file does not hold the numbers.
        """
        weight = _read(self.layer)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.step == "weight_standardization":
                scale, shift = self._standardized(weight)
            elif self.step == "weight_norm":
                scale, shift = self._weight_norm(weight), None
            else:
                scale, shift = self._spectral_norm(weight), None
        finite = np.isfinite(scale).all() and (shift is None or np.isfinite(shift).all())
        return (scale, shift) if finite else None

    def _standardized(self, weight: Array) -> tuple[Array, Array]:
        rows = weight.reshape(len(weight), -1)
        scale = self.factor / np.sqrt(rows.var(axis=1) + self.eps)
        if self.tensors:
            scale = scale * read_numbers(self.tensors[0]).astype(np.float64).reshape(-1)
        return per_channel(scale, weight.ndim), per_channel(-rows.mean(axis=1) * scale, weight.ndim)

    def _weight_norm(self, weight: Array) -> Array:
        """Return length / norm; each axis along which there is one length belongs to the norm."""
        lengths = read_numbers(self.tensors[0]).astype(np.float64)
        directions = _stored_order(weight, self.layer)
        lengths = lengths.reshape(lengths.shape or (1,) * directions.ndim)
        axes = tuple(axis for axis, size in enumerate(lengths.shape) if size == 1)
        scale = lengths / np.sqrt(np.square(directions).sum(axis=axes, keepdims=True))
        return _canonical_order(scale, self.layer)

    def _spectral_norm(self, weight: Array) -> Array:
        """Return 1 / (u W v), where W is the weight as a matrix with a row for each number of u."""
        left, right = (read_numbers(tensor).astype(np.float64).reshape(-1) for tensor in self.tensors)
        axis = _spectral_axis(self.layer)
        matrix = np.moveaxis(_stored_order(weight, self.layer), axis, 0).reshape(len(left), -1)
        return (1 / (left @ matrix @ right)).reshape((1,) * weight.ndim)


def parametrization_of(layer: Layer, modules: StoredModules) -> Parametrization | None:
    """Return how the weight of a layer follows from the stored one; None where it is stored as it is used, or unknown.

    Args:
        layer: A layer.
        modules: The tensors of its checkpoint.
    """
    standard = layer.tensor.standardization
    if standard is not None:
        gain = modules.by_name.get(standard.gain or "")
        if standard.gain is not None and (gain is None or math.prod(gain.shape) != layer.out_channels):
            return None
        tensors = () if gain is None else (gain,)
        return Parametrization(
            step="weight_standardization", layer=layer, tensors=tensors, eps=standard.eps, factor=standard.factor
        )
    leaf = split_raw_parameter_name(layer.tensor.key)[1]
    if layer.mask is not None:
        leaf = leaf.removesuffix("_orig")
    siblings = modules.module(*module_key(layer.tensor))
    if _is_alone(siblings):
        return _weight_norm(layer, siblings, leaf) or _spectral_norm(layer, siblings, leaf)
    return None


def _is_alone(siblings: Mapping[str, StoredTensor]) -> bool:
    """Return whether a weight has at most one parametrization of torch."""
    return not any(name.startswith("parametrizations.weight.1.") for name in siblings)


def _weight_norm(layer: Layer, siblings: Mapping[str, StoredTensor], leaf: str) -> Parametrization | None:
    lengths = siblings.get(_LENGTHS.get(leaf, ""))
    if lengths is None or not is_readable(lengths):
        return None
    stored = layer.tensor.shape
    fits = lengths.shape == () or (
        len(lengths.shape) == len(stored) and all(n in (1, full) for n, full in zip(lengths.shape, stored, strict=True))
    )
    return Parametrization(step="weight_norm", layer=layer, tensors=(lengths,)) if fits else None


def _spectral_norm(layer: Layer, siblings: Mapping[str, StoredTensor], leaf: str) -> Parametrization | None:
    vectors = [siblings.get(name) for name in _VECTORS.get(leaf, ())]
    found = tuple(vector for vector in vectors if vector is not None and is_readable(vector))
    if len(found) != 2 or "weight_mask" in siblings:
        return None
    rows = layer.tensor.shape[_spectral_axis(layer)]
    sizes = tuple(math.prod(vector.shape) for vector in found)
    return (
        Parametrization(step="spectral_norm", layer=layer, tensors=found)
        if sizes == (rows, math.prod(layer.tensor.shape) // rows) and _axis_is_known(layer)
        else None
    )


def _spectral_axis(layer: Layer) -> int:
    """Return the stored axis of the output channels, along which torch lays out the matrix."""
    return 1 if layer.stored_transposed else 0


def _axis_is_known(layer: Layer) -> bool:
    """Return whether it is certain that a weight is not transposed: by its operator, or by its sizes."""
    return layer.operator_verified or layer.tensor.shape[0] != layer.tensor.shape[1]


def _read(layer: Layer) -> Array:
    return to_float32(layer, 0, layer.out_channels, torch.device("cpu")).numpy().astype(np.float64)


def _stored_order(weight: Array, layer: Layer) -> Array:
    """Return a weight `[out, in/groups, *kernel_size]` in the order of the file."""
    if not layer.stored_transposed:
        return weight
    groups = layer.groups or 1
    out, width, *rest = weight.shape
    return weight.reshape(groups, out // groups, width, *rest).swapaxes(1, 2).reshape(-1, out // groups, *rest)


def _canonical_order(scale: Array, layer: Layer) -> Array:
    """Return a factor that is broadcast against the stored weight in the order `[out, in/groups, *kernel_size]`."""
    if not layer.stored_transposed or scale.size == 1:
        return scale
    groups, rest = layer.groups or 1, scale.shape[2:]
    full = np.broadcast_to(scale, (*layer.tensor.shape[:2], *rest))
    split = full.reshape(groups, layer.shape[1], -1, *rest).swapaxes(1, 2)
    return np.ascontiguousarray(split.reshape(*layer.shape[:2], *rest))
