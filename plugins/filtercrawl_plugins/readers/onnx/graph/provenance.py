"""Follows a value back to the tensor it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from filtercrawl_plugins.readers.onnx.graph.scope import Scope
from filtercrawl_plugins.readers.onnx.graph.types import Node, TensorLike

# Operators after which the numbers are still the stored ones, one for one; a Cast may round them, but what is
# stored is what counts.
VALUE_PRESERVING_OPS: Final = frozenset({"Identity", "Cast", "CastLike"})
# Operators after which it is still the same parameter, if in another order.
PARAMETER_PRESERVING_OPS: Final = VALUE_PRESERVING_OPS | {
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Expand",
}

_ONNX: Final = frozenset({"", "com.microsoft"})
_LONGEST_CHAIN: Final = 32
_MOST_BEHIND: Final = 64


@dataclass(frozen=True, eq=False)
class TensorOrigin:
    """Where a value comes from. dequantize: the node on the way that makes numbers of codes, and its scope.

    rounded: it is quantised and turned back on the way, as training for quantisation does.
    """

    tensor: TensorLike
    dequantize: tuple[Scope, Node] | None = None
    cast: bool = False
    fake_quantized: bool = False


def find_origin(scope: Scope, name: str, through: frozenset[str] = VALUE_PRESERVING_OPS) -> TensorOrigin | None:
    """Follow a value back through the operators named; None where it comes from anything else."""
    dequantize: tuple[Scope, Node] | None = None
    cast = rounded = False
    for _ in range(_LONGEST_CHAIN):
        found = scope.find(name)
        if found is None:
            return None
        scope, what = found
        if not isinstance(what, Node):
            return TensorOrigin(what, dequantize, cast, rounded)
        if scope.called_function(what) is not None or what.domain not in _ONNX:
            return None
        if what.op_type == "DequantizeLinear" and dequantize is None:
            dequantize = scope, what
        elif what.op_type == "QuantizeLinear" and dequantize is not None:
            dequantize, rounded = None, True
        elif what.op_type in through:
            cast = cast or what.op_type.startswith("Cast")
        else:
            return None
        name = what.input(0)
    return None


def source_tensors(scope: Scope, name: str) -> list[TensorLike]:
    """List the tensors that a value is computed from, if it is computed from nothing else; else none.

    A weight that is standardised or transposed before its convolution depends on stored tensors alone; one
    that an input of the model takes part in does not. Gives up, with none, where more than a few nodes take
    part.
    """
    result: list[TensorLike] = []
    pending = [(scope, name)]
    seen: set[tuple[int, str]] = set()
    while pending:
        at, value = pending.pop()
        if not value or (id(at), value) in seen:
            continue
        seen.add((id(at), value))
        found = at.find(value)
        if found is None or len(seen) > _MOST_BEHIND:
            return []
        home, what = found
        if not isinstance(what, Node):
            result.append(what)
            continue
        if len(what.inputs) > _MOST_BEHIND or any(True for _ in home.subscopes(what)):
            return []
        pending.extend((home, input_name) for input_name in what.inputs)
    return result
