"""Trace a value back through nodes to the tensor it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from filtercrawl_plugins.readers.onnx.graph.scope import Scope
from filtercrawl_plugins.readers.onnx.graph.types import Node, TensorLike

# Operators whose output has the elements of their input in the same order. A Cast may round, but producer counts is the
# stored tensor.
VALUE_PRESERVING_OPS: Final = frozenset({"Identity", "Cast", "CastLike"})
# Operators whose output is the same parameter, possibly in another layout.
PARAMETER_PRESERVING_OPS: Final = VALUE_PRESERVING_OPS | {
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Expand",
}

# Inputs that choose which elements of others an operator returns, or how it arranges them, by operator: the result has
# none of their elements.
_CHOOSING_INPUTS: Final = {
    "Where": (0,), "Compress": (1,), "Gather": (1,), "GatherElements": (1,), "GatherND": (1,), "Scatter": (1,),
    "ScatterElements": (1,), "ScatterND": (1,), "OneHot": (0, 1), "Reshape": (1,), "Expand": (1,), "Tile": (1,),
    "Slice": (1, 2, 3, 4), "Pad": (1, 3), "Split": (1,), "Squeeze": (1,), "Unsqueeze": (1,),
}  # fmt: skip
# Domains whose operators are known here.
_KNOWN_DOMAINS: Final = frozenset({"", "com.microsoft"})
_MAX_CHAIN: Final = 32
_MAX_SOURCES: Final = 64


@dataclass(frozen=True, eq=False)
class TensorOrigin:
    """The tensor that a value comes from.

    Attributes:
        tensor: The tensor.
        dequantize: The DequantizeLinear node on the way, with its scope; None if there is none.
    """

    tensor: TensorLike
    dequantize: tuple[Scope, Node] | None = None


def find_origin(scope: Scope, name: str, through: frozenset[str] = VALUE_PRESERVING_OPS) -> TensorOrigin | None:
    """Trace a value back to a tensor.

    Args:
        scope: Scope of the name.
        name: Name of the value.
        through: Operators that may be on the way, besides QuantizeLinear and DequantizeLinear.

    Returns:
        None if the value is an input, or another operator computes it.
    """
    dequantize: tuple[Scope, Node] | None = None
    for _ in range(_MAX_CHAIN):
        found = scope.find(name)
        if found is None:
            return None
        scope, producer = found
        if not isinstance(producer, Node):
            return TensorOrigin(producer, dequantize)
        if scope.called_function(producer) is not None or producer.domain not in _KNOWN_DOMAINS:
            return None
        if producer.op_type == "DequantizeLinear" and dequantize is None:
            dequantize = scope, producer
        elif producer.op_type == "QuantizeLinear" and dequantize is not None:
            dequantize = None
        elif producer.op_type not in through:
            return None
        name = producer.input(0)
    return None


def source_tensors(scope: Scope, name: str) -> list[TensorLike]:
    """Return the tensors that a value is computed from, if it depends on nothing else.

    A weight that is standardized or transposed before its convolution depends on stored tensors alone. Masks, indices
    and shapes, which only choose or arrange elements of others, are not among them.

    Returns:
        [] if the value depends on an input of the model, or on more than 64 values.
    """
    result: list[TensorLike] = []
    # The last item is whether the elements of a value are among those of the result.
    pending = [(scope, name, True)]
    seen: set[tuple[int, str, bool]] = set()
    while pending:
        value_scope, value, has_elements = pending.pop()
        if not value or (id(value_scope), value, has_elements) in seen:
            continue
        seen.add((id(value_scope), value, has_elements))
        found = value_scope.find(value)
        if found is None or len(seen) > _MAX_SOURCES:
            return []
        producer_scope, producer = found
        if not isinstance(producer, Node):
            if has_elements:
                result.append(producer)
            continue
        if len(producer.inputs) > _MAX_SOURCES or producer_scope.has_subscopes(producer):
            return []
        choosing = _CHOOSING_INPUTS.get(producer.op_type, ())
        pending.extend(
            (producer_scope, input_name, has_elements and slot not in choosing)
            for slot, input_name in enumerate(producer.inputs)
        )
    return result
