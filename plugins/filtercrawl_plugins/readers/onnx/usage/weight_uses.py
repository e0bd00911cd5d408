"""Collects what each tensor is used for: by which convolutions, or else as what."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.tensor import FLOAT_DTYPES
from filtercrawl_plugins.readers.onnx.graph.operators import (
    INPUT_ROLES,
    LINEAR_OPS,
    ConvolutionOperator,
    convolution_operator,
    unsupported_weight_input,
)
from filtercrawl_plugins.readers.onnx.graph.provenance import (
    PARAMETER_PRESERVING_OPS,
    TensorOrigin,
    find_origin,
    source_tensors,
)
from filtercrawl_plugins.readers.onnx.graph.scope import Scope, iterate_scopes
from filtercrawl_plugins.readers.onnx.graph.types import Model, Node, TensorLike
from filtercrawl_plugins.readers.onnx.tensors.dtypes import dtype_of

# What a tensor is, if it is used as more than one of these: the first.
RANKS: Final = {
    reason: rank
    for rank, reason in enumerate(
        (
            "nonstandard_operator",
            "linear",
            "recurrent",
            "embedding",
            "norm",
            "activation",
            "bias",
            "scale",
            "quantization",
            "constant",
        )
    )
}
_ARITHMETIC: Final = frozenset({"Gather", "Add", "Sub", "Mul", "Div"})
# Between a linear map and the addition of its bias.
_BEFORE_BIAS: Final = PARAMETER_PRESERVING_OPS | {"DequantizeLinear", "QuantizeLinear", "Mul"}
_LONGEST_WAY: Final = 8


@dataclass(frozen=True, eq=False)
class ConvolutionUse:
    """A node that convolves with a tensor, and how the tensor gets there."""

    scope: Scope
    node: Node
    operator: ConvolutionOperator
    origin: TensorOrigin


@dataclass(frozen=True)
class TensorUsage:
    """Uses of tensors, by the start of their message: the first convolution, their number, other uses."""

    convolutions: dict[int, ConvolutionUse] = field(default_factory=dict)
    n_calls: Counter[int] = field(default_factory=Counter)
    roles: dict[int, str] = field(default_factory=dict)

    def add_convolution(self, use: ConvolutionUse) -> None:
        start = use.origin.tensor.message.start
        self.convolutions.setdefault(start, use)
        self.n_calls[start] += 1

    def add_role(self, held: TensorLike, reason: str) -> None:
        start = held.message.start
        self.roles[start] = min(self.roles.get(start, "constant"), reason, key=RANKS.__getitem__)


def collect_uses(model: Model, file: str) -> TensorUsage:
    """Look at every input of every node wherever it is run; raises UnsupportedError as `scopes` does."""
    uses = TensorUsage()
    for scope in iterate_scopes(model, file):
        for node in scope.graph.nodes:
            if scope.called_function(node) is None:
                _node(uses, scope, node)
    return uses


def _node(uses: TensorUsage, scope: Scope, node: Node) -> None:
    operator = convolution_operator(scope, node)
    odd = unsupported_weight_input(scope, node)
    for slot, name in enumerate(node.inputs):
        if operator is not None and slot == operator.weight:
            found = find_origin(scope, name)
            if found is not None:
                uses.add_convolution(ConvolutionUse(scope, node, operator, found))
            else:
                for held in source_tensors(scope, name):
                    if len(held.shape) > 1 and math.prod(held.shape) > 1:
                        uses.add_role(held, "nonstandard_operator")
        elif slot == odd:
            found = find_origin(scope, name, PARAMETER_PRESERVING_OPS)
            if found is not None:
                uses.add_role(found.tensor, "nonstandard_operator")
        else:
            _other(uses, scope, node, slot)


def _other(uses: TensorUsage, scope: Scope, node: Node, slot: int) -> None:
    reason = INPUT_ROLES.get(node.op_type, {}).get(slot)
    if reason is None and node.op_type not in _ARITHMETIC:
        return
    found = find_origin(scope, node.inputs[slot], PARAMETER_PRESERVING_OPS)
    if found is not None:
        reason = reason or _arithmetic(scope, node, slot, found)
        if reason is not None:
            uses.add_role(found.tensor, reason)
    elif reason == "recurrent":  # gates are often put in another order first
        for held in source_tensors(scope, node.inputs[slot]):
            if dtype_of(held) in FLOAT_DTYPES:
                uses.add_role(held, reason)


def _arithmetic(scope: Scope, node: Node, slot: int, found: TensorOrigin) -> str | None:
    held = found.tensor
    if dtype_of(held) not in FLOAT_DTYPES and found.dequantize is None:
        return None
    if node.op_type == "Gather":
        return "embedding" if slot == 0 and len(held.shape) == 2 else None
    if node.op_type in ("Mul", "Div"):
        return "scale"
    one_axis = sum(size > 1 for size in held.shape) <= 1
    return "bias" if one_axis and _is_linear(scope, node.input(1 - slot)) else None


def _is_linear(scope: Scope, name: str) -> bool:
    for _ in range(_LONGEST_WAY):
        found = scope.find(name)
        if found is None:
            return False
        scope, what = found
        if not isinstance(what, Node):
            return False
        if what.op_type in LINEAR_OPS:
            return True
        if what.op_type not in _BEFORE_BIAS:
            return False
        name = what.input(0)
    return False
