"""Classify the tensors of a checkpoint: convolution layers, and a ledger entry for every tensor.

What a file states about a tensor comes first, then the shapes of its module, then names.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import FLOAT_DTYPES
from filtercrawl.api.vocabulary import REASONS, KernelPolicy
from filtercrawl.extraction import state_dict_names
from filtercrawl.extraction.bank_generators import bank_generators
from filtercrawl.extraction.expert_banks import expand_banks
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.ledger import LedgerEntry
from filtercrawl.extraction.reparametrization import StoredForm, stored_form
from filtercrawl.extraction.sibling_evidence import has_bias_per_output, shape_evidence
from filtercrawl.extraction.siblings import ModuleIndex
from filtercrawl.extraction.sparse_kernels import sparse_kernels
from filtercrawl.extraction.state_dict_names import parameter_name
from filtercrawl.extraction.weight_layer import layer_from_operator, layer_from_shape
from filtercrawl.extraction.weight_sets import find_weight_sets


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


# Layers of one checkpoint: each takes 20 kB of memory and some milliseconds. Networks have a hundredth of it.
MAX_LAYERS: Final = 16_384


def check_count(layers: int) -> None:
    """Raise UnsafeFileError for a checkpoint with more layers than any network has."""
    if layers > MAX_LAYERS:
        raise UnsafeFileError(f"has {layers:,} tensors of the shape of kernels, at most {MAX_LAYERS:,} are supported")


def _may_be_kernel(tensor: StoredTensor) -> bool:
    return tensor.reason is None and 3 <= len(tensor.shape) <= 5 and tensor.dtype in FLOAT_DTYPES


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
            that is not in the vocabulary.
        UnsafeFileError: There are more layers than any network has.
    """
    every = tuple(tensors)
    check_names(every)
    check_count(sum(map(_may_be_kernel, every)))
    classifier = Classifier(every, prefix)
    layers: list[Layer] = []
    ledger: list[LedgerEntry] = []
    for tensor in every:
        decision = classifier.decide(tensor)
        reason = decision.reason
        if reason is None:
            reason = policy_exclusion_reason(decision.layers[0], policy)
            layers += [replace(layer, exclusion_reason=reason) for layer in decision.layers]
            check_count(len(layers))
        if reason is not None and reason not in REASONS:
            raise FormatError(f"{tensor.name}: a reader gave the reason {reason!r}, which is not in the vocabulary")
        ledger.append(
            LedgerEntry(tensor=tensor.name, shape=tensor.shape, dtype=tensor.dtype, reason=reason, rule=decision.rule)
        )
    return ClassifiedTensors(layers=tuple(layers), ledger=tuple(ledger))


def check_names(tensors: Sequence[StoredTensor]) -> None:
    """Raise FormatError if two tensors have the same name."""
    name, count = max(Counter(tensor.name for tensor in tensors).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise FormatError(f"the file holds {count} tensors named {name!r}; one name must mean one tensor")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a tensor is.

    Attributes:
        rule: The rule that decided, a word of `filtercrawl.extraction.rules.RULES` or of a reader.
        reason: Why it is no layer, a word of the ledger; None for layers.
        layers: Its layers: one, or one for each kernel of a bank.
    """

    rule: str
    reason: str | None = None
    layers: tuple[Layer, ...] = ()


class Classifier:
    """Decides for each tensor of a checkpoint whether it is a layer, or why not."""

    def __init__(self, tensors: Sequence[StoredTensor], prefix: str = "") -> None:
        self._prefix = prefix
        self._modules = ModuleIndex(tensors)
        self._optimizers = optimizer_containers(tensors)
        self._sets = find_weight_sets([tensor for tensor in tensors if self._optimizer_rule(tensor) is None])
        self._generators = bank_generators(tensors, self._modules)
        self._sparse = sparse_kernels(tensors, self._modules)

    def decide(self, tensor: StoredTensor) -> Decision:
        """Return what a tensor is."""
        return self._excluded(tensor) or self._by_type(tensor) or self._by_content(tensor)

    def _excluded(self, tensor: StoredTensor) -> Decision | None:
        """Return the decision on a tensor that is outside the model, or that the reader decided."""
        if not tensor.name.startswith(self._prefix):
            return Decision(rule="prefix", reason="outside_prefix")
        if tensor.name in self._sets.excluded:
            reason, rule = self._sets.excluded[tensor.name]
            return Decision(rule=rule, reason=reason)
        if tensor.reason is not None:
            return Decision(rule=tensor.rule or "reader", reason=tensor.reason)
        optimizer = self._optimizer_rule(tensor)
        return Decision(rule=optimizer, reason="optimizer_state") if optimizer else None

    def _by_type(self, tensor: StoredTensor) -> Decision | None:
        return Decision(rule="dtype", reason="complex") if tensor.dtype.startswith("complex") else None

    def _by_content(self, tensor: StoredTensor) -> Decision:
        """Return the decision on a tensor of the model."""
        raw = self._sets.raw_of.get(tensor.name)
        # An average is described by its raw counterpart where the trainer dropped the dots of its name.
        renamed = raw is not None and parameter_name(raw.key) != parameter_name(tensor.key)
        known = raw if raw is not None and renamed else tensor
        siblings = self._modules.siblings(known)
        # What a graph states is exact: other tensors of similar names take no part.
        stated = tensor.depth is not None or (tensor.convolution is not None and tensor.convolution.source != "module")
        form = None if stated else stored_form(known, siblings, self._modules.below(known))
        if form is not None and form.reason is not None:
            return Decision(rule=form.rule, reason=form.reason)
        if tensor.convolution is not None:
            return self._layers(tensor, form, "operator")
        if tensor.layout is not None:
            return self._layers(tensor, form, "layout")
        evidence = None
        if 3 <= len(tensor.weight_shape) <= 5 and state_dict_names.is_weight_name(parameter_name(known.key)):
            if known.name in self._generators:
                return Decision(rule="bank_generator", reason=self._generators[known.name])
            if known.name in self._sparse:
                return Decision(rule="sparse_order", reason="unknown_layout")
            evidence = shape_evidence(tensor, siblings, self._modules.below(known))
        if evidence is not None and evidence.reason is not None:
            return Decision(rule=evidence.rule, reason=evidence.reason)
        if evidence is not None:
            kept = replace(evidence.bank, weight_kind="dynamic_bank") if evidence.bank is not None else tensor
            return self._layers(kept, form, evidence.rule)
        if state_dict_names.kernel_objection(known.key, tensor.weight_shape) is not None:
            return self._by_name(known, siblings)
        basis = state_dict_names.is_fixed_basis(known.name, tensor.weight_shape)
        return self._layers(tensor, form, "basis" if basis else "weight")

    def _by_name(self, tensor: StoredTensor, siblings: Mapping[str, StoredTensor]) -> Decision:
        """Return why a tensor is no kernel."""
        if tensor.name in self._generators and len(tensor.shape) == 2:
            return Decision(rule="bank_generator", reason=self._generators[tensor.name])
        weight = siblings.get("weight")
        bias = siblings.get("bias")
        affine = weight is not None and bias is not None and weight.shape == bias.shape and len(bias.shape) > 1
        if affine and tensor in (weight, bias):
            return Decision(rule="bias_shape", reason="norm")
        # A normalization has a bias of the shape of its weight, and an embedding has none.
        if weight is not None and bias is not None and has_bias_per_output(weight.weight_shape, bias.shape):
            if tensor is bias:
                return Decision(rule="parameter_name", reason="bias")
            if tensor is weight and len(weight.weight_shape) == 2:
                return Decision(rule="bias_per_channel", reason="linear")
        floating = tensor.dtype in FLOAT_DTYPES
        reason, rule = state_dict_names.exclusion_reason(tensor.key, tensor.shape, floating=floating)
        objection = state_dict_names.kernel_objection(tensor.key, tensor.shape)
        return Decision(rule=(objection or rule) if reason == "nonstandard_operator" else rule, reason=reason)

    def _layers(self, tensor: StoredTensor, form: StoredForm | None, rule: str) -> Decision:
        """Return the layers of a tensor that is a weight of convolutions."""
        if 0 in tensor.shape:
            return Decision(rule="empty", reason="empty")
        if tensor.dtype not in FLOAT_DTYPES and tensor.quantization is None and tensor.weight is None:
            return Decision(rule="dtype", reason="quantized_codes")
        if tensor.location is None:
            return Decision(rule="location", reason="unreadable")
        path = self._modules.module_path(self._sets.raw_of.get(tensor.name, tensor))
        layers: list[Layer] = []
        for expert in expand_banks(tensor):
            layer = layer_from_operator(expert, path) if expert.convolution else layer_from_shape(expert, path)
            if layer is None:
                return Decision(rule="operator_shape", reason="nonstandard_operator")
            if form is not None:
                kind = layer.weight_kind if layer.weight_kind == "fixed" else tensor.weight_kind or form.weight_kind
                mask = None if form.mask is None or expert.bank_index is not None else form.mask.location
                layer = replace(layer, weight_kind=kind or layer.weight_kind, mask=mask)
            layers.append(layer)
        rule = rule if form is None or (rule == "operator" and form.mask is None) else form.rule
        return Decision(rule=rule, layers=tuple(layers)) if layers else Decision(rule="empty", reason="empty")

    def _optimizer_rule(self, tensor: StoredTensor) -> str | None:
        """Return the rule by which a tensor is state of an optimizer or a scheduler, None if it is none."""
        if tensor.convolution is not None and tensor.convolution.source != "module":
            return None  # a graph convolves with it
        if state_dict_names.is_optimizer_leaf(tensor.key):
            return "optimizer_name"
        container = state_dict_names.optimizer_container(tensor.root, tensor.key)
        if container is None or tensor.convolution is not None:
            return None
        proven = container in self._optimizers or state_dict_names.is_optimizer_word(container, tensor.root)
        return "optimizer_container" if proven else None


def optimizer_containers(tensors: Iterable[StoredTensor]) -> frozenset[tuple[str, ...]]:
    """Return the containers named after an optimizer that hold a moment or counter of one."""
    held = (t for t in tensors if state_dict_names.is_optimizer_leaf(t.key) or "state" in t.root[1:])
    found = (state_dict_names.optimizer_container(tensor.root, tensor.key) for tensor in held)
    return frozenset(container for container in found if container is not None)


def policy_exclusion_reason(layer: Layer, policy: KernelPolicy) -> str | None:
    """Return the reason why a policy excludes the weight of a layer, None if it is written."""
    if policy == "all":
        return None
    if layer.taps == 1:
        return "pointwise"
    if layer.weight_kind == "dense_as_conv":
        return "dense"
    return "kernel_size" if policy == "3x3" and layer.kernel != "3x3" else None
