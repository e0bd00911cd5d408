"""Where the channels of a convolution's result are, followed through operators that change its layout."""

from __future__ import annotations

from dataclasses import dataclass

from filtercrawl.extraction.lazy_tensor import UnsupportedOperationError
from filtercrawl_plugins.readers.onnx.graph.scope import Scope
from filtercrawl_plugins.readers.onnx.graph.types import Node
from filtercrawl_plugins.readers.onnx.usage.constant_folding import ConstantFolder
from filtercrawl_plugins.readers.onnx.usage.fold_call import FoldCall, checked_axis


@dataclass(frozen=True, kw_only=True)
class ChannelAxis:
    """The axis of channels in a result.

    Attributes:
        axis: Its index.
        rank: Number of axes of the result.
        size: Number of channels.
    """

    axis: int
    rank: int
    size: int

    @property
    def to_last(self) -> int:
        """Number of axes from the channels to the last, both included."""
        return self.rank - self.axis

    def behind(self, folder: ConstantFolder, scope: Scope, node: Node) -> ChannelAxis | None:
        """Return where the channels are behind a node that changes the layout of its first input.

        Args:
            folder: Folds shapes and axes.
            scope: Scope of the node.
            node: The node.

        Returns:
            None if the node mixes them with another axis, or if that is not known.
        """
        operands = [None, *(folder.fold(scope, name) if name else None for name in node.inputs[1:])]
        call = FoldCall(scope=scope, node=node, output=0, inputs=operands)
        try:
            match node.op_type:
                case "Transpose":
                    return self._transposed(call)
                case "Reshape":
                    return self._reshaped(call)
                case "Unsqueeze":
                    return self._unsqueezed(call)
                case "Squeeze":
                    return self._squeezed(call)
        except UnsupportedOperationError:
            return None
        return None

    def _transposed(self, call: FoldCall) -> ChannelAxis | None:
        order = call.integers("perm", 1) or tuple(reversed(range(self.rank)))
        if sorted(order) != list(range(self.rank)):
            return None
        return ChannelAxis(axis=order.index(self.axis), rank=self.rank, size=self.size)

    def _reshaped(self, call: FoldCall) -> ChannelAxis | None:
        sizes = call.integers("shape", 1) or ()
        kept = all(size == 0 for size in sizes[: self.axis]) and not call.integer("allowzero", 0)
        if not kept or len(sizes) <= self.axis or sizes[self.axis] not in (0, self.size):
            return None
        return ChannelAxis(axis=self.axis, rank=len(sizes), size=self.size)

    def _unsqueezed(self, call: FoldCall) -> ChannelAxis | None:
        axes = call.integers("axes", 1) or ()
        rank = self.rank + len(axes)
        added = {checked_axis(axis, rank) for axis in axes}
        others = [axis for axis in range(rank) if axis not in added]
        return ChannelAxis(axis=others[self.axis], rank=rank, size=self.size) if len(added) == len(axes) else None

    def _squeezed(self, call: FoldCall) -> ChannelAxis | None:
        dropped = {checked_axis(axis, self.rank) for axis in call.integers("axes", 1) or ()}
        if not dropped or self.axis in dropped:
            return None
        before = sum(axis < self.axis for axis in dropped)
        return ChannelAxis(axis=self.axis - before, rank=self.rank - len(dropped), size=self.size)
