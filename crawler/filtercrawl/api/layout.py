"""Orders of axes in which frameworks store convolution kernels, and the one function that turns them into torch's."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from filtercrawl.api.errors import FormatError
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation, row_major


class Layout(StrEnum):
    """Order of the axes of a stored kernel, one letter an axis.

    `o` are the output channels, `i` the input channels of a group, `m` the output channels of one input channel
    (depthwise), `k` all spatial axes in order, `1` an axis of size one.

    Attributes:
        OIK: torch, Chainer, Caffe, Paddle.
        IOK: Transposed convolutions of torch, Chainer, Caffe, Paddle.
        OKI: MLX, TFLite; also their transposed convolutions.
        KIO: JAX, Keras, TensorFlow.
        KOI: Transposed convolutions of Keras and TensorFlow.
        KIM: Depthwise convolutions of Keras and TensorFlow.
        ONE_KO: Depthwise convolutions of TFLite.
    """

    OIK = "oik"
    IOK = "iok"
    OKI = "oki"
    KIO = "kio"
    KOI = "koi"
    KIM = "kim"
    ONE_KO = "1ko"


def arrange(tensor: StoredTensor, layout: Layout, *, transposed: bool = False) -> StoredTensor:
    """Return a kernel with its axes in the order of torch, as a view of the same bytes.

    Args:
        tensor: A kernel with its axes in the order of the file.
        layout: That order.
        transposed: Whether a transposed convolution uses it.

    Returns:
        The tensor as `[out, in/groups, *kernel_size]`, or `[in, out/groups, *kernel_size]` if transposed, with
        `layout` set. The axis of its quantization moves along.

    Raises:
        FormatError: The tensor has fewer axes than the layout, or those of a depthwise kernel cannot be joined.
    """
    rank = len(tensor.shape)
    if rank < 3:
        raise FormatError(f"{tensor.name}: a kernel of {rank} axes has no layout {layout.value}")
    before, after = layout.value.split("k")
    axes = {letter: index for index, letter in enumerate(before)}
    axes |= {letter: rank - len(after) + index for index, letter in enumerate(after)}
    spatial = tuple(range(len(before), rank - len(after)))
    if layout is Layout.KIM:
        return _join_depthwise(tensor, (axes["i"], axes["m"]), spatial)
    outputs, inputs = axes["o"], axes.get("i", axes.get("1", 0))
    order = (inputs, outputs, *spatial) if transposed else (outputs, inputs, *spatial)
    return _reordered(tensor, order, layout)


def _reordered(tensor: StoredTensor, order: tuple[int, ...], layout: Layout) -> StoredTensor:
    location, quantization = tensor.location, tensor.quantization
    shape = tuple(tensor.shape[axis] for axis in order)
    if location is not None:
        strides = tuple(location.strides[axis] for axis in order)
        location = replace(location, shape=shape, strides=strides)
    if quantization is not None:
        quantization = replace(quantization, axis=order.index(quantization.axis))
    return replace(tensor, shape=shape, location=location, quantization=quantization, layout=layout.value)


def _join_depthwise(tensor: StoredTensor, channels: tuple[int, int], spatial: tuple[int, ...]) -> StoredTensor:
    """Return `[k, i, m]` as `[i * m, 1, k]`: output channel `c * m + q` is the q-th filter of input channel c."""
    inputs, multiplier = (tensor.shape[axis] for axis in channels)
    location = tensor.location
    shape = (inputs * multiplier, 1, *(tensor.shape[axis] for axis in spatial))
    if tensor.quantization is not None and len(tensor.quantization.scale) > 1:
        raise FormatError(f"{tensor.name}: a depthwise kernel with a scale for each of two joined axes")
    if location is not None:
        outer, inner = (location.strides[axis] for axis in channels)
        if multiplier == 1:
            inner = outer
        elif outer != inner * multiplier:
            raise FormatError(f"{tensor.name}: a depthwise kernel in column-major order")
        strides = (inner, row_major(shape)[1], *(location.strides[axis] for axis in spatial))
        location = TensorLocation(
            file=location.file, offset=location.offset, dtype=location.dtype, shape=shape, strides=strides
        )
    return replace(tensor, shape=shape, location=location, layout=Layout.KIM.value)
