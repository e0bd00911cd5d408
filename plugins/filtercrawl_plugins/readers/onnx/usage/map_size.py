"""How large the map of a value is beside the input of its network, as far as operators tell without numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from filtercrawl.extraction.architecture.place import CallShape
from filtercrawl_plugins.readers.onnx.graph.scope import Scope
from filtercrawl_plugins.readers.onnx.graph.types import Node

# Products of matrices; of two that are computed from the input of the network, attention is made.
PRODUCTS: Final = frozenset(
    {"MatMul", "FusedMatMul", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits", "DynamicQuantizeMatMul"}
    | {"QLinearMatMul", "Gemm", "FusedGemm", "QGemm", "Einsum", "Attention", "MultiHeadAttention"}
)
_STRIDED: Final = frozenset({"MaxPool", "AveragePool", "LpPool", "QLinearAveragePool"})
_TO_POINT: Final = frozenset(
    {"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "QLinearGlobalAveragePool", "ReduceMean", "ReduceMax"}
)
_RESIZED: Final = frozenset({"Resize", "Upsample"})


class MapSize(NamedTuple):
    """The size of a value's map.

    Attributes:
        of_input: Whether the value is computed from an input of the network.
        reduction: Size of the input divided by its own, where every operator keeps the size but for its stride;
            infinite where it is unknown.
        point: Whether it is one point, by a pooling over all of the map.
    """

    of_input: bool = False
    reduction: float = 1.0
    point: bool = False

    def join(self, other: MapSize) -> MapSize:
        """Return the size of a value computed from both; constants and points are spread over the other's map."""
        if self.of_input and other.of_input:
            return MapSize(True, max(self.reduction, other.reduction), self.point and other.point)
        return self if self.of_input else other


def size_after(scope: Scope, node: Node, size: MapSize) -> MapSize:
    """Return the size of the output of an operator.

    Args:
        scope: The graph of the node.
        node: The node; it may be a convolution.
        size: The joined size of its inputs.
    """
    if node.op_type in _TO_POINT:
        return size._replace(point=True, reduction=math.inf)
    if node.op_type in _RESIZED:
        return size._replace(reduction=math.inf)
    if node.op_type in ("SpaceToDepth", "DepthToSpace"):
        block = scope.attribute(node, "blocksize")
        factor = float(block.i) if block is not None and block.i > 0 else math.inf
        return size._replace(reduction=size.reduction * (factor if node.op_type == "SpaceToDepth" else 1 / factor))
    if node.op_type in _STRIDED or "Conv" in node.op_type:
        stride = float(max(integers(scope, node, "strides"), default=1))
        return size._replace(reduction=size.reduction * (1 / stride if "Transpose" in node.op_type else stride))
    return size


def call_shape(scope: Scope, node: Node, weight: tuple[int, ...], reduction: float, *, point: bool) -> CallShape | None:
    """Return the shape of a call of a convolution.

    Args:
        scope: The graph of the node.
        node: The convolution.
        weight: Shape of its weight, in the order of the operator.
        reduction: Size of the input of the first convolution divided by that of its own input; no number if unknown.
        point: Whether its input is one point.

    Returns:
        The shape; None if that of the weight is no kernel's. Whether the kernel covers the whole map is only known
        where it does not: with padding, groups, or a single tap.
    """
    if len(weight) < 3:
        return None
    group = scope.attribute(node, "group")
    groups = 1 if group is None else group.i
    transposed, taps = "Transpose" in node.op_type, math.prod(weight[2:])
    automatic = scope.attribute(node, "auto_pad")
    padded = bool(integers(scope, node, "pads")) or (automatic is not None and automatic.s.startswith(b"SAME"))
    never_covers = taps == 1 or groups != 1 or padded or transposed or point
    return CallShape(
        taps=taps,
        groups=groups,
        depthwise=groups > 1 and (weight[0] == groups if transposed else weight[1] == 1),
        covers=False if never_covers else None,
        on_point=point and taps == 1,
        reduction=math.inf if math.isnan(reduction) else reduction,
    )


def integers(scope: Scope, node: Node, name: str) -> Sequence[int]:
    """Return the positive numbers of an attribute; () if it has none."""
    attribute = scope.attribute(node, name)
    return [number for number in attribute.few_integers() if number > 0] if attribute is not None else ()
