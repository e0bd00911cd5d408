"""Tell the order of axes of arrays by what their file proves: its framework, biases, shapes, and names as conventions.

An array whose order nothing tells keeps its shape and has the reason `unknown_layout`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl.api.layout import Layout, arrange
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import FLOAT_DTYPES
from filtercrawl_plugins.readers.arrays.names import (
    JAX_LEAVES,
    SHORT_LEAF,
    TORCH_LEAF,
    ArrayNames,
    NamedArray,
    parse_names,
    reason_by_name,
)
from filtercrawl_plugins.readers.arrays.paddle_names import PaddleNames


class Framework(Enum):
    """The framework that a file names, by the place of the spatial axes of its kernels."""

    TORCH = "last"
    MLX = "middle"
    JAX = "first"


_PLACES: Final = {"last": Layout.OIK, "middle": Layout.OKI, "first": Layout.KIO}
# A kernel with three axes may as well be a projection of an attention or a stack of matrices.
_CONVOLUTION_NAME: Final = re.compile(r"conv|patch|stem", re.IGNORECASE)
_DEPTHWISE_NAME: Final = re.compile(r"depthwise|dwconv|(^|[/_])dw([/_]|\d|$)", re.IGNORECASE)
_KERAS_TRANSPOSED: Final = re.compile(r"conv[123]d_?transpose", re.IGNORECASE)
_TRANSPOSED_NAME: Final = re.compile(r"transpose|deconv|upconv", re.IGNORECASE)
# Convolutions that normalize their weight on every call; `gn_root` is the stem of BiT's ResNets in hybrid ViTs.
_STANDARDIZED: Final = re.compile(r"standardized_conv|std_?conv|ws_?conv", re.IGNORECASE)
_STANDARDIZED_STEM: Final = "gn_root"


def arrange_arrays(tensors: Iterable[StoredTensor], framework: Framework | None = None) -> Iterator[StoredTensor]:
    """Yield the arrays of a file, kernels with their axes in the order of torch.

    Args:
        tensors: All arrays, their axes in the order of the file.
        framework: The framework that the file names, None if it names none.
    """
    names = parse_names(tensors)
    paddle = PaddleNames.of(names)
    if framework is Framework.TORCH:
        yield from (paddle.arranged(array) or array.tensor for array in names.arrays)
        return
    if framework is None and names.named_by_flax:
        framework = Framework.JAX
    leaves, place = {array.leaf for array in names.arrays}, file_place(names)
    conventions = _Conventions(
        names=names,
        framework=framework,
        place=place,
        named_as_in_torch=TORCH_LEAF in leaves and framework is not Framework.JAX,
        named_as_in_chainer=not leaves.isdisjoint(("avg_mean", "avg_var")),
        standardized=any(_STANDARDIZED_STEM in module for module in names.modules),
        lists_are_layers=is_chain_of_layers(names, place),
    )
    for array in names.arrays:
        yield paddle.arranged(array) or conventions.arranged(array)


def file_place(names: ArrayNames) -> str | None:
    """Return where the spatial axes of a file's kernels are, if at least one shape proves it and none objects."""
    votes = {proven_place(array.shape, names.bias(array)) for array in names.arrays if _may_be_kernel(array)}
    votes.discard(None)
    return votes.pop() if len(votes) == 1 else None


def is_chain_of_layers(names: ArrayNames, place: str | None) -> bool:
    """Return whether lists of arrays are weights and biases of a network, not data of the same shapes.

    At least one kernel then has as many inputs as one before it has outputs.
    """
    outputs: set[int] = set()
    for array in names.arrays:
        if not array.is_anonymous or not _may_be_kernel(array) or names.bias(array) is None or len(array.shape) < 4:
            continue
        inputs, out = array.shape[-2:] if place == "first" else (array.shape[1], array.shape[0])
        if inputs in outputs:
            return place in ("first", "last")
        outputs.add(out)
    return False


def proven_place(shape: tuple[int, ...], bias: tuple[int, ...] | None) -> str | None:
    """Return where the spatial axes of a kernel are, by its bias and because kernels are mostly square.

    Args:
        shape: Shape in the file.
        bias: Shape of the bias of the same module.

    Returns:
        `first`, `middle` or `last`; None where neither tells.
    """
    rank = len(shape)
    spatial = {"first": shape[:-2], "middle": shape[1:-1], "last": shape[2:]}
    channels = {"first": shape[-2:], "middle": shape[:1], "last": shape[:2]}
    if bias is not None and len(bias) == 1:
        spatial = {place: sizes for place, sizes in spatial.items() if bias[0] in channels[place]}
    if len(spatial) == 1:
        return next(iter(spatial))
    square = [place for place, sizes in spatial.items() if len(set(sizes)) == 1]
    return square[0] if rank > 3 and len(square) == 1 and spatial[square[0]][0] > 1 else None


def _may_be_kernel(array: NamedArray) -> bool:
    floating = array.tensor.dtype in FLOAT_DTYPES and array.tensor.reason is None
    known = array.leaf in JAX_LEAVES or array.leaf in (SHORT_LEAF, TORCH_LEAF) or array.is_anonymous
    return floating and known and 3 <= len(array.shape) <= 5 and 0 not in array.shape


@dataclass(frozen=True, kw_only=True)
class _Conventions:
    """What one file tells about all of its kernels.

    Attributes:
        names: The arrays.
        framework: The framework that the file names.
        place: Where its shapes prove the spatial axes to be.
        named_as_in_torch: Whether its weights are called `weight`.
        named_as_in_chainer: Whether its normalizations are those of Chainer.
        standardized: Whether its convolutions normalize their weight on every call.
        lists_are_layers: Whether its lists of arrays are the weights of layers that follow each other.
    """

    names: ArrayNames
    framework: Framework | None
    place: str | None
    named_as_in_torch: bool
    named_as_in_chainer: bool
    standardized: bool
    lists_are_layers: bool

    def arranged(self, array: NamedArray) -> StoredTensor:
        """Return an array as torch would store it, or with the reason why it is no kernel."""
        tensor = array.tensor
        if tensor.reason is not None:
            return tensor
        if array.leaf != TORCH_LEAF and self.named_as_in_torch:  # one convention a file
            return tensor
        if array.in_optimizer:
            return replace(tensor, reason="optimizer_state")
        if not _may_be_kernel(array):
            return replace(tensor, reason=reason_by_name(array, self.names))
        found = self._torch_layout() if array.leaf == TORCH_LEAF else self._layout(array)
        if not isinstance(found, Layout):
            return replace(tensor, reason=found)
        if found is Layout.OIK and array.leaf == TORCH_LEAF:
            return tensor
        try:
            arranged = arrange(tensor, found)
        except FormatError:
            return replace(tensor, reason="unknown_layout")
        if array.leaf == TORCH_LEAF:
            return replace(arranged, layout=None)  # the same names as in torch, so that its rules on names apply
        return replace(arranged, weight_kind=self._weight_kind(array))

    def _torch_layout(self) -> Layout | str:
        if self.framework is Framework.JAX:
            return _PLACES[self.place] if self.place else "unknown_layout"
        return _PLACES[self.framework.value if self.framework else self.place or "last"]

    def _layout(self, array: NamedArray) -> Layout | str:
        """Return the layout of a kernel that is not named as in torch, or the reason of the ledger."""
        bias = self.names.bias(array)
        if "recurrent_kernel" in self.names.modules[array.module]:
            return "recurrent"
        if bias is not None and len(bias) > 1:
            return "linear" if array.shape[-len(bias) :] == bias else "nonstandard_operator"
        if len(array.shape) == 3:
            if self.names.is_attention(array):
                return "linear"
            if not _CONVOLUTION_NAME.search(array.path):
                return "unknown_layout"
        place = self._place(array, bias)
        if place == "first":
            return self._channels_last(array, bias)
        if place == "last" and bias is not None and bias[0] != array.shape[0]:
            return Layout.IOK
        return _PLACES[place] if place else "unknown_layout"

    def _place(self, array: NamedArray, bias: tuple[int, ...] | None) -> str | None:
        """Return where the spatial axes of a kernel are, by the surest of what tells it."""
        shape = array.shape
        if array.is_anonymous:
            return self.place if self.lists_are_layers and bias is not None else None
        place = self.framework.value if self.framework and self.framework is not Framework.MLX else self.place
        if place is None and array.leaf == SHORT_LEAF:
            jax = ":" in array.tensor.name or "~" in array.module
            place = "last" if self.named_as_in_chainer else "first" if jax else None
        elif place is None:
            place = "first"
        if place is None or bias is None:
            return place
        # A bias that fits neither side of the kernel: then this is not its order.
        last = shape[-2] * shape[-1]
        fits = {"first": (*shape[-2:], last), "middle": shape[:1], "last": shape[:2]}[place]
        return place if bias[0] in fits else proven_place(shape, bias)

    def _channels_last(self, array: NamedArray, bias: tuple[int, ...] | None) -> Layout | str:
        """Return the layout of a kernel with spatial axes first: plain, transposed or depthwise."""
        inputs, outputs = array.shape[-2:]
        depthwise = bool(_DEPTHWISE_NAME.search(array.path)) and inputs > 1
        if array.leaf.startswith("depthwise"):
            return Layout.KIM
        if array.leaf.startswith("pointwise"):
            return Layout.KIO
        if bias is not None and inputs != outputs:
            if bias[0] == outputs and not (depthwise and outputs == 1):
                return Layout.KIO
            if bias[0] == inputs * outputs:
                return Layout.KIM
            return Layout.KOI if bias[0] == inputs else "unknown_layout"
        if _KERAS_TRANSPOSED.search(array.path) and "ConvTranspose" not in array.path:
            return Layout.KOI
        if _TRANSPOSED_NAME.search(array.path) and self.framework is not Framework.JAX:
            return "unknown_layout"
        if depthwise:
            return Layout.KIM
        may_be_depthwise = outputs == 1 and inputs > 1 and bias is None and self.framework is not Framework.JAX
        return "unknown_layout" if may_be_depthwise else Layout.KIO

    def _weight_kind(self, array: NamedArray) -> str | None:
        return "standardized" if self.standardized or _STANDARDIZED.search(array.path) else None
