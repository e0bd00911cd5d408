"""ONNX operators with parameters and the role of each of their inputs.

Operators: https://onnx.ai/onnx/operators/, for com.microsoft ContribOperators.md of ONNX Runtime.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from filtercrawl_plugins.readers.onnx.graph.scope import Scope
from filtercrawl_plugins.readers.onnx.graph.types import Node


@dataclass(frozen=True, kw_only=True)
class ConvolutionOperator:
    """An operator that convolves, with the indices of its inputs.

    Attributes:
        weight: Index of the weight.
        scale: Index of the scale of the weight; None if the operator has none.
        zero_point: Index of the zero point of the weight; None if the operator has none.
        transposed: Whether it is a transposed convolution.
    """

    weight: int = 1
    scale: int | None = None
    zero_point: int | None = None
    transposed: bool = False


_MICROSOFT: Final = "com.microsoft"

CONVOLUTIONS: Final[Mapping[tuple[str, str], ConvolutionOperator]] = {
    ("", "Conv"): ConvolutionOperator(),
    ("", "ConvTranspose"): ConvolutionOperator(transposed=True),
    ("", "QLinearConv"): ConvolutionOperator(weight=3, scale=4, zero_point=5),
    ("", "ConvInteger"): ConvolutionOperator(zero_point=3),
    (_MICROSOFT, "FusedConv"): ConvolutionOperator(),
    (_MICROSOFT, "QLinearConv"): ConvolutionOperator(weight=3, scale=4, zero_point=5),
}
# Its attribute `channels_last` is about the input and the output; the kernel in ONNX Runtime, qlinearconv.cc, takes a
# weight [out, in/groups, *kernel_size] in any case.
_CHANNELS_LAST_KEEPS_WEIGHT: Final = (_MICROSOFT, "QLinearConv")

_NORMALIZATION: Final = dict.fromkeys((1, 2, 3, 4), "norm")
_RECURRENT: Final = dict.fromkeys((1, 2, 3, 7), "recurrent")

# Reason of the ledger for the tensor at each input; tensors at other inputs are constants.
INPUT_ROLES: Final[Mapping[str, Mapping[int, str]]] = {
    "Conv": {2: "bias"},
    "ConvTranspose": {2: "bias"},
    "FusedConv": {2: "bias"},
    "DeformConv": {3: "bias"},
    "QLinearConv": {**dict.fromkeys((1, 2, 4, 5, 6, 7), "quantization"), 8: "bias"},
    "ConvInteger": dict.fromkeys((2, 3), "quantization"),
    "BatchNormalization": _NORMALIZATION,
    "InstanceNormalization": _NORMALIZATION,
    "LayerNormalization": _NORMALIZATION,
    "GroupNormalization": _NORMALIZATION,
    "RMSNormalization": _NORMALIZATION,
    "SimplifiedLayerNormalization": _NORMALIZATION,
    "SkipLayerNormalization": {2: "norm", 3: "norm", 4: "bias"},
    "SkipSimplifiedLayerNormalization": {2: "norm", 3: "bias"},
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "RNN": _RECURRENT,
    "DynamicQuantizeLSTM": _RECURRENT,
    "Gemm": {0: "linear", 1: "linear", 2: "bias"},
    "FusedGemm": {0: "linear", 1: "linear", 2: "bias"},
    "MatMul": {0: "linear", 1: "linear"},
    "FusedMatMul": {0: "linear", 1: "linear"},
    "MatMulNBits": {1: "linear", 2: "quantization", 3: "quantization"},
    "MatMulInteger": {0: "linear", 1: "linear", 2: "quantization", 3: "quantization"},
    "MatMulIntegerToFloat": {
        0: "linear",
        1: "linear",
        **dict.fromkeys((2, 3, 4, 5), "quantization"),
        6: "bias",
    },
    "DynamicQuantizeMatMul": {1: "linear", 2: "quantization", 3: "quantization", 4: "bias"},
    "QLinearMatMul": {0: "linear", 3: "linear", **dict.fromkeys((1, 2, 4, 5, 6, 7), "quantization")},
    "QGemm": {0: "linear", 3: "linear", **dict.fromkeys((1, 2, 4, 5, 7, 8), "quantization"), 6: "bias"},
    "Attention": {1: "linear", 2: "bias"},
    "PRelu": {1: "activation"},
    "QuantizeLinear": {1: "quantization", 2: "quantization"},
    "DequantizeLinear": {1: "quantization", 2: "quantization"},
    "QLinearAdd": dict.fromkeys((1, 2, 4, 5, 6, 7), "quantization"),
    "QLinearMul": dict.fromkeys((1, 2, 4, 5, 6, 7), "quantization"),
    "QLinearConcat": {0: "quantization", 1: "quantization"},
    "QLinearSigmoid": dict.fromkeys((1, 2, 3, 4), "quantization"),
    "QLinearLeakyRelu": dict.fromkeys((1, 2, 3, 4), "quantization"),
    "QLinearAveragePool": dict.fromkeys((1, 2, 3, 4), "quantization"),
    "QLinearGlobalAveragePool": dict.fromkeys((1, 2, 3, 4), "quantization"),
}

# Matrix products and convolutions: a constant that is added to the result is a bias.
LINEAR_OPS: Final = frozenset(
    {"Conv", "ConvTranspose", "FusedConv", "ConvInteger", "DeformConv"}
    | {"MatMul", "Gemm", "MatMulInteger", "FusedMatMul", "MatMulNBits"}
)

# Roles of long tensors; biases, scales and shapes take few bytes.
_LONG_ROLES: Final = frozenset({"linear", "recurrent"})
_LONG_FIRST_INPUT: Final = frozenset({"Gather", "DequantizeLinear"})
# Elements of a matrix per pair of channels, for comparison with the taps of a kernel: bottlenecks and MLPs widen by 4.
_MATRIX_ELEMENTS: Final = 4
# Spatial axes of a convolution.
_MAX_AXES: Final = 3


class UpcomingWeights(NamedTuple):
    """The tensors that follow the nodes of a graph in the file.

    Attributes:
        n_tensors: Number of long tensors.
        kernel_share: Estimated share of their bytes, 0 to 1, that are spatial kernels.
    """

    n_tensors: int
    kernel_share: float


def upcoming_weights(nodes: Iterable[Node]) -> UpcomingWeights:
    """Estimate from the nodes which tensors follow them, so that the file can choose how far to read ahead."""
    computed: set[str] = set()
    kernels: dict[str, int] = {}
    others: set[str] = set()
    for node in nodes:
        computed.update(node.outputs)
        for slot, name in enumerate(node.inputs):
            if name and _is_long(node, slot):
                taps = _taps(node)
                if taps == 1:
                    others.add(name)
                else:
                    kernels.setdefault(name, taps)
    kernels = {name: taps for name, taps in kernels.items() if name not in computed}
    others -= computed | kernels.keys()
    elements = sum(list(kernels.values())[1:])  # without the first layer, which has few input channels
    return UpcomingWeights(len(kernels) + len(others), elements / max(elements + _MATRIX_ELEMENTS * len(others), 1))


def _is_long(node: Node, slot: int) -> bool:
    operator = CONVOLUTIONS.get((node.domain, node.op_type))
    if operator is not None:
        return slot == operator.weight
    if node.op_type in _LONG_FIRST_INPUT:
        return slot == 0
    return INPUT_ROLES.get(node.op_type, {}).get(slot) in _LONG_ROLES


def _taps(node: Node) -> int:
    """Return the taps of a node's kernels: 0 if grouped (few bytes), 1 for a matrix or an invalid `kernel_shape`."""
    if (node.domain, node.op_type) not in CONVOLUTIONS or "kernel_shape" not in node.attributes:
        return 1
    if "group" in node.attributes and node.attributes["group"].i > 1:
        return 0
    sizes = node.attributes["kernel_shape"].ints[:_MAX_AXES].tolist()
    return math.prod(sizes) if all(size > 0 for size in sizes) else 1


def convolution_operator(scope: Scope, node: Node) -> ConvolutionOperator | None:
    """Return how a node convolves, None if it does not or if its weight may have the channels last."""
    kind = (node.domain, node.op_type)
    channels_last = scope.attribute(node, "channels_last")
    if channels_last is not None and channels_last.i and kind != _CHANNELS_LAST_KEEPS_WEIGHT:
        return None
    return CONVOLUTIONS.get(kind)


def unsupported_weight_input(scope: Scope, node: Node) -> int | None:
    """Return the index of the weight of a convolution that is not supported: channels last, or another operator.

    Returns:
        None if the node is no convolution or `convolution_operator` supports it.
    """
    if "Conv" not in node.op_type or convolution_operator(scope, node) is not None:
        return None
    return 3 if node.op_type.startswith("QLinear") else 1
