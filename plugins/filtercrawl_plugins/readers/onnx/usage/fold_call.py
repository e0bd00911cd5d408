"""A node whose inputs are constants, as the rules that fold it see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from filtercrawl.extraction.lazy_tensor import LazyTensor, UnsupportedOperationError
from filtercrawl_plugins.readers.onnx.graph.scope import Scope
from filtercrawl_plugins.readers.onnx.graph.types import Node

# Elements of operands such as shapes and axes, which are read when the graph is.
MAX_OPERAND: Final = 65536


@dataclass(frozen=True, kw_only=True)
class FoldCall:
    """A node all of whose inputs are constants.

    Attributes:
        scope: Scope of the node.
        node: The node.
        output: Index of the output that is wanted.
        inputs: Its inputs; None for one that is omitted.
    """

    scope: Scope
    node: Node
    output: int
    inputs: Sequence[LazyTensor | None]

    def optional(self, slot: int) -> LazyTensor | None:
        """Return an input, None if it is omitted."""
        return self.inputs[slot] if slot < len(self.inputs) else None

    def tensor(self, slot: int = 0) -> LazyTensor:
        """Return an input; raises UnsupportedOperationError if it is omitted."""
        found = self.optional(slot)
        if found is None:
            raise UnsupportedOperationError(f"{self.node.op_type} without input {slot}")
        return found

    def integer(self, name: str, default: int) -> int:
        """Return an attribute."""
        attribute = self.scope.attribute(self.node, name)
        return default if attribute is None else attribute.i

    def integers(self, name: str, slot: int) -> tuple[int, ...] | None:
        """Return an operand that is an attribute in old versions of an operator, and an input in new ones."""
        attribute = self.scope.attribute(self.node, name)
        if attribute is not None:
            return attribute.few_integers()
        operand = self.optional(slot)
        return None if operand is None else read_integers(operand)

    def axis(self, name: str, default: int, rank: int) -> int:
        """Return an attribute that is the index of an axis, counted from the front."""
        return checked_axis(self.integer(name, default), rank)


def read_integers(operand: LazyTensor) -> tuple[int, ...]:
    """Read a short list of integers, or one."""
    if operand.numel > MAX_OPERAND or operand.dtype not in ("int64", "int32"):
        raise UnsupportedOperationError(f"an operand of {operand.numel} {operand.dtype}")
    return tuple(operand.read_all().reshape(-1).tolist())


def checked_axis(axis: int, rank: int) -> int:
    """Return the index of an axis counted from the front; raises UnsupportedOperationError if there is no such axis."""
    if not -rank <= axis < rank:
        raise UnsupportedOperationError(f"axis {axis} of {rank}")
    return axis % rank
