"""What the arrays of a Keras layer are, by the class of the layer and its settings."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final, cast

from filtercrawl.api.convolution import Convolution, Op
from filtercrawl.api.layout import Layout, arrange
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.keras.config import LayerConfig

_CONVOLUTION: Final = re.compile(r"(Depthwise|Separable)?Conv(?:olution)?([123])D(Transpose)?")
# Names of the arrays of a layer in the order in which Keras 3 numbers them.
_NUMBERED: Final = {"Separable": ("depthwise_kernel", "pointwise_kernel", "bias"), None: ("kernel", "bias")}
# Reasons of the ledger by class.
_REASONS: Final = (
    (re.compile(r"\w*Norm(alization)?(V\d)?"), "norm"),
    (re.compile(r"Dense|EinsumDense|(Group(ed)?|MultiHead)(Query)?Attention|Attention|AdditiveAttention"), "linear"),
    (re.compile(r"(Token)?(AndPosition)?Embedding|ReversibleEmbedding"), "embedding"),
    (re.compile(r"PositionEmbedding"), "attention_position"),
    (re.compile(r"(CuDNN)?(ConvLSTM[123]D|LSTM|GRU|SimpleRNN)(Cell)?"), "recurrent"),
    (re.compile(r"PReLU"), "activation"),
    (re.compile(r"LocallyConnected[12]D"), "nonstandard_operator"),
)
# Classes by the names that Keras gives layers and folders of weights by default.
CLASSES_BY_NAME: Final = {
    re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=D)(?=Transpose)", "_", name).lower(): name
    for name in (
        *(f"{kind}Conv{rank}D" for rank in (1, 2) for kind in ("", "Depthwise", "Separable")),
        *(f"Conv{rank}DTranspose" for rank in (1, 2, 3)),
        *("Conv3D", "Dense", "BatchNormalization", "LayerNormalization", "GroupNormalization", "Embedding", "PReLU"),
    )
}


def class_by_name(name: str) -> str | None:
    """Return the class of a layer that has a default name such as `conv2d_3`, None for any other name."""
    return CLASSES_BY_NAME.get(re.sub(r"_\d+$", "", name))


def describe(tensor: StoredTensor, layer: LayerConfig, leaf: str) -> StoredTensor | None:
    """Return an array of a layer with what its class proves.

    Args:
        tensor: The array, its axes in the order of the file.
        layer: The layer; without settings where the class is only known by a default name.
        leaf: Name of the array in the layer, or its number.

    Returns:
        None if the class of the layer is not known.
    """
    match = None if layer.custom else _CONVOLUTION.fullmatch(layer.cls)
    if match is None:
        reason = next((reason for pattern, reason in _REASONS if pattern.fullmatch(layer.cls)), None)
        is_bias = reason == "linear" and (leaf == "bias" or (leaf == "1" and len(tensor.shape) == 1))
        return None if reason is None else replace(tensor, reason="bias" if is_bias else reason)
    kind, rank, transposed = match[1], int(match[2]), match[3] is not None
    if leaf.isdigit():
        names = _NUMBERED["Separable" if kind == "Separable" else None]
        leaf = names[int(leaf)] if int(leaf) < len(names) else leaf
    if leaf == "bias":
        return replace(tensor, reason="bias")
    if leaf not in ("kernel", "depthwise_kernel", "pointwise_kernel"):
        return replace(tensor, reason="other")
    if len(tensor.shape) != rank + 2 or 0 in tensor.shape:
        return replace(tensor, reason="nonstandard_operator")
    depthwise = leaf == "depthwise_kernel" or (kind == "Depthwise" and leaf == "kernel")
    layout = Layout.KIM if depthwise else Layout.KOI if transposed else Layout.KIO
    if not layer.settings:
        return arrange(tensor, layout)
    groups = tensor.shape[-2] if depthwise else 1 if leaf == "pointwise_kernel" else layer.settings.get("groups", 1)
    if type(groups) is not int or groups < 1:
        return arrange(tensor, layout)
    convolution = _convolution(layer.settings, tensor.shape[:-2], groups, transposed=transposed)
    if leaf == "pointwise_kernel":
        convolution = replace(convolution, stride=(1,) * rank, padding=(0,) * rank, dilation=(1,) * rank)
    return replace(arrange(tensor, layout, transposed=transposed), convolution=convolution)


def is_no_convolution(layer: LayerConfig) -> bool:
    """Return whether a layer is of a class of its own that has no settings of a convolution, and wraps no layer."""
    return layer.custom and "kernel_size" not in layer.settings and "layer" not in layer.settings


def _convolution(settings: Any, kernel: tuple[int, ...], groups: int, *, transposed: bool) -> Convolution:
    rank = len(kernel)
    stride, dilation = _sizes(settings.get("strides"), rank), _sizes(settings.get("dilation_rate"), rank)
    return Convolution(
        op=cast("Op", f"conv_transpose{rank}d" if transposed else f"conv{rank}d"),
        groups=groups,
        stride=stride,
        padding=None if transposed else _padding(settings.get("padding"), kernel, stride, dilation),
        dilation=dilation,
        learned=True,
        source="keras_config",
    )


def _padding(
    name: object, kernel: tuple[int, ...], stride: tuple[int, ...] | None, dilation: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """Return the padding in elements; None for `same` with a stride, where it depends on the size of the input."""
    if name == "valid":
        return (0,) * len(kernel)
    if dilation is None or stride is None:
        return None
    total = [step * (size - 1) for size, step in zip(kernel, dilation, strict=True)]
    if name == "causal":
        return (*total, *(0 for _ in total))
    if name != "same" or any(step != 1 for step in stride):
        return None
    before = tuple(size // 2 for size in total)
    after = tuple(size - size // 2 for size in total)
    return before if before == after else (*before, *after)


def _sizes(value: object, rank: int) -> tuple[int, ...] | None:
    """Return a setting as one number for each spatial axis."""
    if type(value) is int:
        value = (value,) * rank
    if not isinstance(value, tuple | list) or len(value) != rank:
        return None
    return tuple(value) if all(type(size) is int and 0 < size < 1 << 31 for size in value) else None
