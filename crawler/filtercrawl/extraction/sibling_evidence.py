"""What the shapes of a module's tensors prove about its weight, whatever their names say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.state_dict_names import is_modulated

# Submodules that compute what a kernel is multiplied by: StyleGAN2's has an output per input channel, ODConv's one per
# filter or per place in the kernel.
_MODULATION: Final = "modulation"
_ATTENTION: Final = "attention"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What shapes prove about a weight of three to five axes.

    Attributes:
        rule: The rule.
        reason: Why it is no kernel; None for a convolution or a bank.
        bank: The weight as a bank of kernels along its first axis; None for any other weight.
    """

    rule: str
    reason: str | None = None
    bank: StoredTensor | None = None


def shape_evidence(
    tensor: StoredTensor, siblings: Mapping[str, StoredTensor], below: Iterable[StoredTensor]
) -> Evidence | None:
    """Return what the shapes of a module prove about its weight, None where they leave it open.

    A convolution has a bias of one number per output channel, no operator else has. A bias of the shape of the weight
    is that of a normalization over several axes. Dynamic convolutions stack kernels along the first axis,
    `[n, out, in/groups, *k]`, with a bias `[n, out]`, and mix them with weights that a submodule computes.

    Args:
        tensor: The weight.
        siblings: The tensors of its module.
        below: Tensors of the modules below its module.
    """
    shape = tensor.weight_shape
    below = tuple(below)
    if len(shape) == 5 and shape[0] == 1 and (evidence := _single_kernel(tensor, below)):
        return evidence
    stored = siblings.get("bias")
    bias = stored.shape if stored is not None and math.prod(stored.shape) != 1 else None
    if bias == shape:
        return Evidence(rule="bias_shape", reason="norm")
    # `[out, 1]` is a column of biases of a convolution with one input channel, unless the kernels have five axes.
    is_column = bias is not None and bias[1:] == (1,) and len(shape) == 4
    if bias is not None and len(bias) == 2 and bias == shape[:2] and len(shape) >= 4 and not is_column:
        return _bank(tensor, "bank_bias", below)
    if bias is not None and sum(size > 1 for size in bias) > 1:
        return Evidence(rule="bias_mismatch", reason="nonstandard_operator")
    if bias is not None and not is_per_channel(shape, math.prod(bias)):
        return Evidence(rule="bias_mismatch", reason="nonstandard_operator")
    if bias is not None:
        return Evidence(rule="bias_per_channel") if len(shape) > 3 else None
    if len(shape) == 5 and shape[0] > 1:
        if shape[2] >= 8 and shape[2] > shape[3] == shape[4]:
            return _bank(tensor, "bank_shape", below)
        if any(len(other.shape) in (2, 4) and other.shape[0] == shape[0] for other in below):
            return _bank(tensor, "bank_routing", below)
    return None


def _single_kernel(tensor: StoredTensor, below: Iterable[StoredTensor]) -> Evidence | None:
    """Return what submodules prove about a weight that may be one 2-D kernel, `[1, out, in/groups, k, k]`."""
    _, out, inputs, *kernel = shape = tensor.weight_shape
    if is_modulated(shape) or inputs in _outputs(below, _MODULATION):
        return Evidence(rule="modulated_shape", reason="nonstandard_operator")
    attended = _outputs(below, _ATTENTION)
    return _bank(tensor, "bank_routing", below) if out in attended or math.prod(kernel) in attended else None


def _outputs(below: Iterable[StoredTensor], name: str) -> set[int]:
    """Return the numbers of outputs of the weights below the submodules of a name."""
    return {other.shape[0] for other in below if len(other.shape) in (2, 4) and name in other.key.split(".")[:-1]}


def has_bias_per_output(weight: tuple[int, ...], bias: tuple[int, ...]) -> bool:
    """Return whether the shapes of a weight and a bias are those of a matrix or a kernel, not of a normalization."""
    if len(bias) != 1 or len(weight) < 2 or 0 in weight:
        return False
    return bias[0] == weight[0] if len(weight) == 2 else is_per_channel(weight, bias[0])


def is_per_channel(shape: tuple[int, ...], length: int) -> bool:
    """Return whether a bias has one number per output channel, of a convolution or of a transposed one."""
    groups, rest = divmod(length, shape[1]) if shape[1] else (0, 1)
    return length == shape[0] or (rest == 0 and groups > 0 and shape[0] % groups == 0)


def _bank(tensor: StoredTensor, rule: str, below: Iterable[StoredTensor]) -> Evidence:
    """Return a weight as a bank of kernels.

    Of four axes it may be `[n, channels, k, k]` of a depthwise convolution or `[n, out, in/groups, k]` of a 1-D one:
    the submodule that computes the mixture has an output per kernel and channel, or per kernel.
    """
    shape, location = tensor.weight_shape, tensor.location
    if len(shape) == 5:
        return Evidence(rule=rule, bank=replace(tensor, bank=shape[1:]))
    outputs = {other.shape[0] for other in below if len(other.shape) in (2, 4)}
    if shape[0] * shape[1] in outputs and shape[2] == shape[3] and tensor.weight is None:
        spread = (shape[0], shape[1], 1, *shape[2:])
        if location is not None:
            strides = (*location.strides[:2], location.strides[1], *location.strides[2:])
            location = TensorLocation(
                file=location.file, offset=location.offset, dtype=location.dtype, shape=spread, strides=strides
            )
        return Evidence(rule=rule, bank=replace(tensor, shape=spread, location=location, bank=spread[1:]))
    if shape[0] in outputs and shape[2] != shape[3]:
        return Evidence(rule=rule, bank=replace(tensor, bank=shape[1:]))
    return Evidence(rule=rule, reason="nonstandard_operator")
