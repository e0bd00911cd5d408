"""States what a node proves about its convolution."""

from __future__ import annotations

from typing import cast

from filtercrawl.api.errors import FormatError
from filtercrawl.api.tensor import Convolution, Op
from filtercrawl_plugins.readers.onnx.usage.weight_uses import ConvolutionUse


def read_convolution(use: ConvolutionUse, n_calls: int) -> Convolution:
    """Read operator, groups, stride, padding and dilation of a node whose weight has 3 to 5 axes.

    padding: None where `auto_pad` leaves it to the size of the input. Raises FormatError where the attributes
    do not fit the weight. Defaults: https://onnx.ai/onnx/operators/onnx__Conv.html.
    """
    shape = use.origin.tensor.shape
    axes = len(shape) - 2
    given = use.scope.attribute(use.node, "group")
    groups = 1 if given is None else given.i
    # Conv holds [out, in/groups, ...], ConvTranspose [in, out/groups, ...]: the first axis is what groups
    # divide.
    if groups < 1 or shape[0] % groups:
        raise FormatError(f"has {groups} groups for a weight of {'x'.join(map(str, shape))}")
    kind = "conv_transpose" if use.operator.transposed else "conv"
    return Convolution(
        op=cast("Op", f"{kind}{axes}d"),
        groups=groups,
        stride=_integers(use, "strides", (1,) * axes),
        padding=_padding(use, axes),
        dilation=_integers(use, "dilations", (1,) * axes),
        n_calls=n_calls,
        source="onnx_graph",
    )


def _padding(use: ConvolutionUse, axes: int) -> tuple[int, ...] | None:
    auto = use.scope.attribute(use.node, "auto_pad")
    mode = auto.s if auto is not None else b""
    if mode.startswith(b"SAME"):
        return None
    if mode == b"VALID":
        return (0,) * axes
    pads = _integers(use, "pads", (0,) * (2 * axes))
    begins, ends = pads[:axes], pads[axes:]
    return begins if begins == ends else pads


def _integers(use: ConvolutionUse, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    given = use.scope.attribute(use.node, name)
    if given is None or not given.ints:
        return default
    if len(given.ints) != len(default):
        raise FormatError(f"has {len(given.ints)} {name} where its weight asks for {len(default)}")
    return given.ints
