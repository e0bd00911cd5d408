"""How the operators of a TFLite model use its constants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.api.convolution import Convolution
from filtercrawl.api.layout import Layout
from filtercrawl_plugins.formats.flatbuffers import Table
from filtercrawl_plugins.readers.tflite.model import ModelTensor, Operator, Subgraph

# Numbers in `BuiltinOperator`.
CONV_2D: Final = 3
DEPTHWISE_CONV_2D: Final = 4
DEQUANTIZE: Final = 6
DENSIFY: Final = 124
TRANSPOSE_CONV: Final = 67
CONV_3D: Final = 132
CONV_3D_TRANSPOSE: Final = 141
# Reasons of the ledger by operator and position of the input.
_REASONS: Final = {
    (9, 1): "linear", (9, 2): "bias", (126, 1): "linear", (CONV_2D, 2): "bias", (DEPTHWISE_CONV_2D, 2): "bias",
    (TRANSPOSE_CONV, 3): "bias", (CONV_3D, 2): "bias", (CONV_3D_TRANSPOSE, 3): "bias", (54, 1): "activation",
    (7, 1): "embedding",
}  # fmt: skip
# Operators that a constant passes before another uses it.
_UNPACKING: Final = (DEQUANTIZE, DENSIFY)
# LSTM, RNN and SVDF cells, whose every constant is a weight or a state of theirs.
_RECURRENT: Final = frozenset({16, 24, 27, 35, 44, 46, 52})
_SAME, _VALID = 0, 1


@dataclass(frozen=True, kw_only=True)
class Use:
    """One use of a constant.

    Attributes:
        layout: Order of its axes, where it is the weight of a convolution.
        convolution: The convolution; None where its number of groups is unknown.
        reason: Why it is no kernel, a reason of the ledger; None for the weight of a convolution.
    """

    layout: Layout | None = None
    convolution: Convolution | None = None
    reason: str | None = None


def constant_uses(subgraph: Subgraph) -> Iterator[tuple[ModelTensor, Use]]:
    """Yield each tensor that an operator uses, and how; a tensor that is only unpacked stands for the result."""
    sources: dict[int, int] = {}
    for operator in subgraph.operators:
        if operator.code in _UNPACKING and len(operator.inputs) == 1 and len(operator.outputs) == 1:
            given = operator.inputs[0]
            sources[operator.outputs[0]] = sources.get(given, given)  # operators are in the order of execution
    for operator in subgraph.operators:
        if operator.code in _UNPACKING:
            continue
        for position, given in enumerate(operator.inputs):
            number = sources.get(given, given)
            if 0 <= number < len(subgraph.tensors):
                yield subgraph.tensors[number], operator_use(subgraph, operator, position)


def operator_use(subgraph: Subgraph, operator: Operator, position: int) -> Use:
    """Return how an operator uses its input at a position."""
    weight = subgraph.tensor(operator, position)
    data = subgraph.tensor(operator, 2 if operator.code in (TRANSPOSE_CONV, CONV_3D_TRANSPOSE) else 0)
    is_weight = position == 1 and weight is not None and data is not None
    if is_weight and weight is not None and data is not None:
        found = convolution_use(operator, weight.shape, data.shape)
        if found is not None:
            return found
    if operator.code in _RECURRENT:
        return Use(reason="recurrent")
    return Use(reason=_REASONS.get((operator.code, position), "constant"))


def convolution_use(operator: Operator, weight: tuple[int, ...], data: tuple[int, ...]) -> Use | None:
    """Return how a convolution uses its weight, None for any other operator.

    Args:
        operator: The operator.
        weight: Shape of the weight in the file.
        data: Shape of the input, channels last; () if it is unknown.
    """
    options = operator.options
    match operator.code:
        case 3 if len(weight) == 4:  # CONV_2D: [out, h, w, in/groups]
            groups = data[-1] // weight[3] if data and weight[3] and data[-1] % weight[3] == 0 else None
            settings = _settings(options, ((2, 1), (5, 4)), weight[1:3], data)
            return _use(Layout.OKI, "conv2d", groups, settings)
        case 4 if len(weight) == 4:  # DEPTHWISE_CONV_2D: [1, h, w, out]
            multiplier = options.number(3, "<i") if options is not None else 0
            groups = data[-1] if data else weight[3] // multiplier if multiplier > 0 else None
            settings = _settings(options, ((2, 1), (6, 5)), weight[1:3], data)
            return _use(Layout.ONE_KO, "conv2d", groups, settings)
        case 67 if len(weight) == 4:  # TRANSPOSE_CONV: [out, h, w, in]
            settings = _settings(options, ((2, 1), ()), weight[1:3], ())
            return _use(Layout.OKI, "conv_transpose2d", 1, settings)
        case 132 if len(weight) == 5:  # CONV_3D: [d, h, w, in/groups, out]
            groups = data[-1] // weight[3] if data and weight[3] and data[-1] % weight[3] == 0 else None
            settings = _settings(options, ((1, 3, 2), (5, 7, 6)), weight[:3], data)
            return _use(Layout.KIO, "conv3d", groups, settings)
        case 141 if len(weight) == 5:  # CONV_3D_TRANSPOSE: [d, h, w, out, in]
            settings = _settings(options, ((1, 3, 2), (5, 7, 6)), weight[:3], ())
            return _use(Layout.KOI, "conv_transpose3d", 1, settings)
    return None


def _use(layout: Layout, op: str, groups: int | None, settings: dict[str, tuple[int, ...] | None]) -> Use:
    if groups is None or groups < 1:
        return Use(layout=layout)
    convolution = Convolution(op="conv2d", groups=groups, n_calls=1, source="tflite_graph")
    return Use(layout=layout, convolution=replace(convolution, op=op, **settings))  # type: ignore[arg-type]


def _settings(
    options: Table | None,
    fields: tuple[tuple[int, ...], tuple[int, ...]],
    kernel: tuple[int, ...],
    data: tuple[int, ...],
) -> dict[str, tuple[int, ...] | None]:
    """Return stride, padding and dilation of a convolution.

    Args:
        options: Options of the operator; padding is field 0.
        fields: Numbers of the fields of stride and dilation, in the order of the spatial axes; () for dilation 1.
        kernel: Spatial sizes of the weight.
        data: Shape of the input, () where padding is not to be told.
    """
    if options is None:
        return {}
    stride = tuple(options.number(field, "<i", 0) for field in fields[0])
    dilation = tuple(options.number(field, "<i", 1) for field in fields[1]) or (1,) * len(kernel)
    if any(not 0 < step < 1 << 31 for step in (*stride, *dilation)):
        return {}
    return {"stride": stride, "dilation": dilation, "padding": _padding(options, kernel, data, stride, dilation)}


def _padding(
    options: Table, kernel: tuple[int, ...], data: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Return the padding in elements, None where the input has no static size."""
    kind, sizes = options.number(0, "<b"), data[1:-1]
    if kind == _VALID and data:
        return (0,) * len(kernel)
    if kind != _SAME or len(sizes) != len(kernel) or 0 in sizes:
        return None
    total = [
        max((-(-size // step) - 1) * step + (taps - 1) * rate + 1 - size, 0)
        for size, step, taps, rate in zip(sizes, stride, kernel, dilation, strict=True)
    ]
    before, after = tuple(size // 2 for size in total), tuple(size - size // 2 for size in total)
    return before if before == after else (*before, *after)
