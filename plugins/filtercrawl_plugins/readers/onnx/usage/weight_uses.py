"""Find out what each tensor is used for: the convolutions with it, or its role in other operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.tensor_location import FLOAT_DTYPES
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.readers.onnx.graph.operators import (
    CONVOLUTIONS,
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
from filtercrawl_plugins.readers.onnx.usage.effective_weight import EffectiveWeight, WeightResolver

# A tensor with several roles gets the first of these; they are reasons of the ledger.
ROLE_PRIORITY: Final = {
    role: priority
    for priority, role in enumerate(
        (
            "kernel_generator",
            "quantized_codes",
            "nonstandard_operator",
            "linear",
            "recurrent",
            "embedding",
            "norm",
            "activation",
            "bias",
            "scale",
            "quantization",
            "weight_operand",
            "constant",
        )
    )
}
# Operators whose constant input may be a parameter; which one depends on the context.
_ARITHMETIC_OPS: Final = frozenset({"Gather", "Add", "Sub", "Mul", "Div"})
# Operators between a linear operator and the addition of its bias.
_BEFORE_BIAS_OPS: Final = PARAMETER_PRESERVING_OPS | {"DequantizeLinear", "QuantizeLinear", "Mul"}
_MAX_STEPS: Final = 8


@dataclass(eq=False)
class ConvolutionUse:
    """Nodes that convolve with one weight.

    Attributes:
        scope: Scope of the first node.
        node: The first node.
        operator: How it convolves.
        weight: The weight.
        n_calls: Number of nodes.
    """

    scope: Scope
    node: Node
    operator: ConvolutionOperator
    weight: EffectiveWeight
    n_calls: int = 0


@dataclass(frozen=True)
class TensorUsage:
    """Uses of tensors, by the start of their message.

    Attributes:
        convolutions: The convolutions whose weights are computed from a tensor, in the order of the graph, each weight
            once.
        roles: Its role in other operators.
    """

    convolutions: dict[int, dict[EffectiveWeight, ConvolutionUse]] = field(default_factory=dict)
    roles: dict[int, str] = field(default_factory=dict)

    def add_convolution(self, use: ConvolutionUse) -> None:
        """Record a convolution."""
        uses = self.convolutions.setdefault(use.weight.origin, {})
        uses.setdefault(use.weight, use).n_calls += 1
        for part in use.weight.value.stored():
            if int(part.origin) != use.weight.origin and sum(size > 1 for size in part.shape) > 1:
                self.add_role_at(int(part.origin), "weight_operand")

    def add_role(self, tensor: TensorLike, role: str) -> None:
        """Record a role; the one with the highest priority is kept."""
        self.add_role_at(tensor.message.start, role)

    def add_role_at(self, start: int, role: str) -> None:
        """Record a role of the tensor whose message starts at an offset."""
        self.roles[start] = min(self.roles.get(start, "constant"), role, key=ROLE_PRIORITY.__getitem__)


def collect_uses(model: Model, resolver: WeightResolver, budget: Budget) -> TensorUsage:
    """Return the uses of all tensors, from every input of every node; raises UnsafeFileError as `iterate_scopes`."""
    uses = TensorUsage()
    for scope in iterate_scopes(model, budget):
        for node in scope.graph.nodes:
            budget.spend(len(node.inputs))
            if scope.called_function(node) is None:
                if scope.depth and (node.domain, node.op_type) in CONVOLUTIONS:  # once more in each call of a function
                    budget.add_convolution()
                _add_node(uses, resolver, scope, node)
    return uses


def _add_node(uses: TensorUsage, resolver: WeightResolver, scope: Scope, node: Node) -> None:
    operator = convolution_operator(scope, node)
    unsupported = unsupported_weight_input(scope, node)
    for slot, name in enumerate(node.inputs):
        if operator is not None and slot == operator.weight:
            weight = resolver.resolve(scope, node, operator)
            if weight is not None:
                uses.add_convolution(ConvolutionUse(scope, node, operator, weight))
            else:
                for tensor, reason in resolver.unresolved(scope, node, operator):
                    uses.add_role(tensor, reason)
        elif slot == unsupported:
            origin = find_origin(scope, name, PARAMETER_PRESERVING_OPS)
            if origin is not None:
                uses.add_role(origin.tensor, "nonstandard_operator")
        else:
            _add_input(uses, scope, node, slot)


def _add_input(uses: TensorUsage, scope: Scope, node: Node, slot: int) -> None:
    role = INPUT_ROLES.get(node.op_type, {}).get(slot)
    if role is None and node.op_type not in _ARITHMETIC_OPS:
        return
    origin = find_origin(scope, node.inputs[slot], PARAMETER_PRESERVING_OPS)
    if origin is not None:
        role = role or _arithmetic_role(scope, node, slot, origin)
        if role is not None:
            uses.add_role(origin.tensor, role)
    elif role == "recurrent":  # exporters reorder the gates first
        for tensor in source_tensors(scope, node.inputs[slot]):
            if dtype_of(tensor) in FLOAT_DTYPES:
                uses.add_role(tensor, role)


def _arithmetic_role(scope: Scope, node: Node, slot: int, origin: TensorOrigin) -> str | None:
    """Return the role of a constant input of an arithmetic operator, None if it is just a constant."""
    tensor = origin.tensor
    if dtype_of(tensor) not in FLOAT_DTYPES and origin.dequantize is None:
        return None
    if node.op_type == "Gather":
        return "embedding" if slot == 0 and len(tensor.shape) == 2 else None
    if node.op_type in ("Mul", "Div"):
        return "scale"
    is_vector = sum(size > 1 for size in tensor.shape) <= 1
    return "bias" if is_vector and _is_linear_result(scope, node.input(1 - slot)) else None


def _is_linear_result(scope: Scope, name: str) -> bool:
    """Return whether a value is the result of a linear operator, possibly scaled or reshaped."""
    for _ in range(_MAX_STEPS):
        found = scope.find(name)
        if found is None:
            return False
        scope, producer = found
        if not isinstance(producer, Node):
            return False
        if producer.op_type in LINEAR_OPS:
            return True
        if producer.op_type not in _BEFORE_BIAS_OPS:
            return False
        name = producer.input(0)
    return False
