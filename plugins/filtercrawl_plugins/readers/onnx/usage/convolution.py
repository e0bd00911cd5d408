"""Read the attributes of a convolution node."""

from __future__ import annotations

from typing import cast

from filtercrawl.api.convolution import Convolution, Op
from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.readers.onnx.usage.weight_uses import ConvolutionUse


def read_convolution(use: ConvolutionUse) -> Convolution:
    """Read operator, groups, stride, padding and dilation of a node.

    Defaults: https://onnx.ai/onnx/operators/onnx__Conv.html.

    Args:
        use: The node and its weight, which has 3 to 5 axes.

    Returns:
        The convolution; padding is None if `auto_pad` makes it depend on the size of the input.

    Raises:
        FormatError: The attributes do not match the weight.
    """
    shape = use.weight.value.shape
    n_axes = len(shape) - 2
    group = use.scope.attribute(use.node, "group")
    groups = 1 if group is None else group.i
    # Conv weights are [out, in/groups, ...], ConvTranspose weights [in, out/groups, ...]: groups divide the first axis.
    if groups < 1 or shape[0] % groups:
        raise FormatError(f"has {groups} groups for a weight of {'x'.join(map(str, shape))}")
    kind = "conv_transpose" if use.operator.transposed else "conv"
    return Convolution(
        op=cast("Op", f"{kind}{n_axes}d"),
        groups=groups,
        stride=_integers(use, "strides", (1,) * n_axes),
        padding=_padding(use, n_axes),
        dilation=_integers(use, "dilations", (1,) * n_axes),
        n_calls=use.n_calls,
        source="onnx_graph",
    )


def _padding(use: ConvolutionUse, n_axes: int) -> tuple[int, ...] | None:
    auto = use.scope.attribute(use.node, "auto_pad")
    mode = auto.s if auto is not None else b""
    if mode.startswith(b"SAME"):
        return None
    if mode == b"VALID":
        return (0,) * n_axes
    pads = _integers(use, "pads", (0,) * (2 * n_axes))
    begins, ends = pads[:n_axes], pads[n_axes:]
    return begins if begins == ends else pads


def _integers(use: ConvolutionUse, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    attribute = use.scope.attribute(use.node, name)
    if attribute is None or not attribute.ints.size:
        return default
    if attribute.ints.size != len(default):
        raise FormatError(f"has {attribute.ints.size} {name}, its weight needs {len(default)}")
    return attribute.few_integers()
