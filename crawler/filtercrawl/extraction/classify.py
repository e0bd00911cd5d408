"""Classify the tensors of a checkpoint: convolution layers, and a ledger entry for every tensor."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from filtercrawl.api.errors import FormatError
from filtercrawl.api.tensor import FLOAT_DTYPES, Op, StoredTensor
from filtercrawl.api.vocabulary import REASONS, KernelPolicy
from filtercrawl.extraction import state_dict_names
from filtercrawl.extraction.ema_weights import EmaWeights, find_ema_weights
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.ledger import LedgerEntry


@dataclass(frozen=True, kw_only=True)
class ClassifiedTensors:
    """The classified tensors of one checkpoint, in the order of the file.

    Attributes:
        layers: All convolutions, also those that the policy excludes.
        ledger: One entry for each tensor.
    """

    layers: tuple[Layer, ...]
    ledger: tuple[LedgerEntry, ...]

    @property
    def emitted(self) -> tuple[Layer, ...]:
        """Layers whose weights are written."""
        return tuple(layer for layer in self.layers if layer.exclusion_reason is None)

    @property
    def num_params(self) -> int:
        """Number of parameters of the model, without optimizer state, raw copies and buffers."""
        outside = {"optimizer_state", "raw_copy", "buffer", "constant", "outside_prefix"}
        return sum(math.prod(entry.shape) for entry in self.ledger if entry.reason not in outside)


def classify_tensors(
    tensors: Iterable[StoredTensor], policy: KernelPolicy = "spatial", prefix: str = ""
) -> ClassifiedTensors:
    """Sort the tensors of one checkpoint into layers and ledger entries.

    Args:
        tensors: The tensors that a reader yields.
        policy: Kernel sizes to emit.
        prefix: Only tensors whose names begin with it belong to the model.

    Returns:
        All layers and one ledger entry for each tensor.

    Raises:
        FormatError: Two tensors have the same name, so that the ledger could not balance, or a reader gave a reason
            that
            is not in the vocabulary.
    """
    every = tuple(tensors)
    check_names(every)
    ema = find_ema_weights([tensor for tensor in every if not state_dict_names.in_optimizer(tensor.root, tensor.key)])
    layers: list[Layer] = []
    ledger: list[LedgerEntry] = []
    for tensor in every:
        renamed = replace(tensor, key=ema.ema_key_to_source_key.get(tensor.name, tensor.key))
        found = exclusion_reason(tensor, prefix, ema) or classify_all(renamed)
        reason = found if isinstance(found, str) else policy_exclusion_reason(found[0], policy)
        if not isinstance(found, str):
            layers += [replace(layer, exclusion_reason=reason) for layer in found]
        if reason is not None and reason not in REASONS:
            raise FormatError(f"{tensor.name}: a reader gave the reason {reason!r}, which is not in the vocabulary")
        ledger.append(LedgerEntry(tensor=tensor.name, shape=tensor.shape, dtype=tensor.dtype, reason=reason))
    return ClassifiedTensors(layers=tuple(layers), ledger=tuple(ledger))


def exclusion_reason(tensor: StoredTensor, prefix: str, ema: EmaWeights) -> str | None:
    """Return the reason to skip a tensor whatever it is, None if it has to be classified."""
    if not tensor.name.startswith(prefix):
        return "outside_prefix"
    return "raw_copy" if tensor.name in ema.ema_source_names else None


def check_names(tensors: Sequence[StoredTensor]) -> None:
    """Raise FormatError if two tensors have the same name."""
    name, count = max(Counter(tensor.name for tensor in tensors).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise FormatError(f"the file holds {count} tensors named {name!r}; one name must mean one tensor")


def classify_all(tensor: StoredTensor) -> list[Layer] | str:
    """Return the layers of a tensor (a bank of kernels has several), or the reason why it is none."""
    from filtercrawl.extraction.expert_banks import expand_banks

    layers: list[Layer] = []
    for expert in expand_banks(tensor):
        found = classify(expert)
        if isinstance(found, str):
            return found
        layers.append(found)
    return layers or "empty"


def classify(tensor: StoredTensor) -> Layer | str:
    """Return the layer that a tensor is, or the reason why it is none."""
    if tensor.reason is not None:
        return tensor.reason
    if state_dict_names.in_optimizer(tensor.root, tensor.key):
        return "optimizer_state"
    if tensor.dtype.startswith("complex"):
        return "complex"
    floating = tensor.dtype in FLOAT_DTYPES
    proven = tensor.convolution is not None or tensor.layout is not None
    if not proven and not state_dict_names.is_kernel(tensor.key, tensor.shape):
        return state_dict_names.exclusion_reason(tensor.root, tensor.key, tensor.shape, floating=floating)
    if 0 in tensor.shape:
        return "empty"
    if not floating and tensor.quantization is None:
        return "quantized_codes"
    if tensor.location is None:
        return "unreadable"
    return layer_from_operator(tensor) if tensor.convolution else layer_from_shape(tensor)


def layer_from_operator(tensor: StoredTensor) -> Layer | str:
    """Return the layer of a tensor whose operator the file states.

    The shape `[in, out/groups, *k]` of transposed convolutions is permuted to `[out, in/groups, *k]`. Returns
    `nonstandard_operator` if the shape contradicts the operator.
    """
    convolution = tensor.convolution
    assert convolution is not None
    shape, groups = tensor.shape, convolution.groups
    if len(shape) != int(convolution.op[-2]) + 2:
        return "nonstandard_operator"
    if groups is not None and (groups < 1 or shape[0] % groups):
        return "nonstandard_operator"
    if convolution.transposed and groups is not None:
        shape = (shape[1] * groups, shape[0] // groups, *shape[2:])
    return Layer(
        tensor=tensor,
        path=tensor.layer or module_path(tensor),
        op=convolution.op,
        shape=shape,
        groups=groups,
        operator_verified=groups is not None,
        weight_kind=weight_kind(tensor),
    )


def layer_from_shape(tensor: StoredTensor) -> Layer:
    """Return the layer of a tensor in a bare state dict, where the shape proves the number of dimensions only."""
    return Layer(
        tensor=tensor,
        path=module_path(tensor),
        op=cast("Op", f"conv{len(tensor.shape) - 2}d"),
        shape=tensor.shape,
        groups=None,
        operator_verified=False,
        weight_kind=weight_kind(tensor),
    )


def weight_kind(tensor: StoredTensor) -> str:
    """Return `fixed`, `standardized` (raw weights that are normalized at run time) or `learned`.

    What a graph states takes precedence over names.
    """
    unlearned = tensor.convolution is not None and tensor.convolution.learned is False
    if unlearned or state_dict_names.is_fixed_basis(tensor.name):
        return "fixed"
    raw = state_dict_names.split_parameter_name(tensor.key)[1] in ("weight_v", "parametrizations.weight.original1")
    return tensor.weight_kind or ("standardized" if raw else "learned")


def module_path(tensor: StoredTensor) -> str:
    """Return the path of the module that a tensor belongs to, without wrappers."""
    return state_dict_names.split_parameter_name(tensor.key)[0] or state_dict_names.strip_wrapper_prefixes(tensor.key)


def policy_exclusion_reason(layer: Layer, policy: KernelPolicy) -> str | None:
    """Return the reason why a policy excludes the weight of a layer, None if it is written."""
    if policy == "all":
        return None
    if layer.taps == 1:
        return "pointwise"
    return "kernel_size" if policy == "3x3" and layer.kernel != "3x3" else None
