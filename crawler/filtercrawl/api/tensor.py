"""A tensor as a checkpoint stores it: name, location in the file, and the facts that the file states about it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.errors import FormatError
from filtercrawl.api.formatting import shown
from filtercrawl.api.range_file import READ_CHUNK_BYTES, RandomAccessFile, Span, check_range, read_into

Op = Literal["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]
SliceBounds = tuple[tuple[int, int], ...]

# Bytes of one element by dtype, with the names of torch.
ITEMSIZE = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1,
    "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
    "uint16": 2, "uint32": 4, "uint64": 8, "bool": 1, "complex64": 8, "complex128": 16, "complex32": 4,
}  # fmt: skip
_LARGEST = 2**63 - 1
FLOAT_DTYPES = frozenset(name for name in ITEMSIZE if name.startswith(("float", "bfloat")))


@dataclass(frozen=True, kw_only=True)
class TensorLocation:
    """Location of a tensor's elements: a strided view of one file. Elements are little-endian.

    Attributes:
        file: The file that holds the elements.
        offset: Byte offset of element [0, ..., 0].
        dtype: A key of `ITEMSIZE`.
        shape: Size of each axis, in elements; () for a scalar.
        strides: Step of each axis, in elements, non-negative; () means row-major and is replaced by those strides.

    Raises:
        FormatError: The dtype is unknown, a number is no size, or the strides do not match the shape.
        TruncatedError: The view exceeds the file.
    """

    file: RandomAccessFile
    offset: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.dtype not in ITEMSIZE:
            raise FormatError(f"{self.file.name}: the dtype {shown(self.dtype)} is not known")
        for name, numbers in (("offset", (self.offset,)), ("shape", self.shape), ("strides", self.strides)):
            if not all(type(number) is int and number >= 0 for number in numbers):
                raise FormatError(f"{self.file.name}: the {name} {shown(numbers)} is not made of integers from 0 on")
        if not self.strides:
            object.__setattr__(self, "strides", row_major(self.shape))
        if len(self.strides) != len(self.shape):
            what = f"strides {shown(self.strides)} do not match the shape {shown(self.shape)}"
            raise FormatError(f"{self.file.name}: {what}")
        check_range(self.file, self.offset, self.span(tuple((0, n) for n in self.shape)) * self.itemsize)
        # Those of longer axes are bounded by the file.
        longest = max((stride for size, stride in zip(self.shape, self.strides, strict=True) if size == 1), default=0)
        if longest * self.itemsize > _LARGEST and 0 not in self.shape:
            raise FormatError(f"{self.file.name}: the strides {shown(self.strides)} are beyond 63 bits")

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return ITEMSIZE[self.dtype]

    def span(self, box: SliceBounds) -> int:
        """Return how many elements of the file lie from the first to the last element of a box, both included.

        Args:
            box: (start, stop) of each axis, in elements.
        """
        if any(stop <= start for start, stop in box):
            return 0
        return 1 + sum((stop - start - 1) * stride for (start, stop), stride in zip(box, self.strides, strict=True))

    @property
    def byte_span(self) -> Span:
        """The bytes of the file from the first element to the last, gaps included."""
        whole = tuple((0, size) for size in self.shape)
        return Span(self.file, self.offset, self.offset + self.span(whole) * self.itemsize)

    def read(self, box: SliceBounds) -> NDArray[np.uint8]:
        """Read a box of the tensor.

        Little more than the box is read. A box whose elements are scattered is gathered part by part, so that memory
        is bounded by the box and not by the tensor.

        Args:
            box: (start, stop) of each axis, in elements.

        Returns:
            The raw little-endian bytes: uint8 of shape [*box, itemsize], row-major.
        """
        out = np.empty((*(stop - start for start, stop in box), self.itemsize), np.uint8)
        self.read_into(box, out)
        return out

    def read_into(self, box: SliceBounds, out: NDArray[np.uint8]) -> None:
        """Read a box of the tensor into memory; see `read`.

        Args:
            box: (start, stop) of each axis, in elements.
            out: Receives the bytes: uint8 of shape [*box, itemsize], row-major.
        """
        if not out.size:
            return
        if self._is_row_major(out.shape[:-1]):
            read_into(self.file, self._offset_of(box), out.reshape(-1).data)
        else:
            self._gather(box, out)

    def _is_row_major(self, shape: tuple[int, ...]) -> bool:
        """Tell whether a box of a shape is stored without gaps and in row-major order."""
        steps = zip(shape, self.strides, row_major(shape), strict=True)
        return all(size == 1 or stride == step for size, stride, step in steps)

    def _offset_of(self, box: SliceBounds) -> int:
        """Return the byte offset of the first element of a box."""
        first = sum(start * stride for (start, _), stride in zip(box, self.strides, strict=True))
        return self.offset + first * self.itemsize

    def _gather(self, box: SliceBounds, out: NDArray[np.uint8]) -> None:
        wanted, span = math.prod(out.shape[:-1]), self.span(box)
        if wanted == 1 or (span <= 2 * wanted and span * self.itemsize <= READ_CHUNK_BYTES):
            raw = self.file.read(self._offset_of(box), span * self.itemsize)
            strides = (*(stride * self.itemsize for stride in self.strides), 1)
            flat = np.frombuffer(raw, np.uint8)
            out[...] = np.lib.stride_tricks.as_strided(flat, out.shape, strides, writeable=False)
            return
        axis = max((a for a in range(len(box)) if out.shape[a] > 1), key=lambda a: self.strides[a])
        (first, last), half = box[axis], out.shape[axis] // 2
        before = (slice(None),) * axis
        self._gather((*box[:axis], (first, first + half), *box[axis + 1 :]), out[(*before, slice(None, half))])
        self._gather((*box[:axis], (first + half, last), *box[axis + 1 :]), out[(*before, slice(half, None))])


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides, in elements, of a contiguous tensor in row-major order."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * max(size, 1))
    return tuple(reversed(strides)) if shape else ()


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Affine quantization: a weight is `(code - zero_point) * scale`, in float32.

    Attributes:
        scale: One number for the tensor, or one for each index of `axis`.
        zero_point: One code for the tensor, or one for each index of `axis`.
        axis: The axis of the tensor that `scale` and `zero_point` belong to.
    """

    scale: tuple[float, ...] = (1.0,)
    zero_point: tuple[int, ...] = (0,)
    axis: int = 0


class ComputedWeight(Protocol):
    """A weight that is a function of stored tensors, computed when a part of it is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each axis, in the order of the network's operator."""
        ...

    def read_float32(self, box: SliceBounds) -> NDArray[np.float32]:
        """Compute a box with memory in proportion to it.

        Args:
            box: (start, stop) of each axis, in elements.

        Returns:
            float32 of the shape of the box.
        """
        ...

    def spans(self) -> Iterable[Span]:
        """Yield the bytes that computing it reads."""
        ...


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """What a file states about the convolution that uses a tensor. None: the file does not state it.

    Attributes:
        op: The operation.
        groups: Number of groups; None where only kernels are known, one to a row, and not which filter they belong to.
        stride: Elements, one for each spatial axis.
        padding: Elements, one for each spatial axis; two for each, all begins and then all ends as in ONNX, where the
            two sides differ.
        dilation: Elements, one for each spatial axis.
        learned: Whether training changes the weight; False for a buffer.
        n_calls: How often one forward pass uses it.
        source: Where the facts come from.
    """

    op: Op
    groups: int | None
    stride: tuple[int, ...] | None = None
    padding: tuple[int, ...] | None = None
    dilation: tuple[int, ...] | None = None
    learned: bool | None = None
    n_calls: int | None = None
    source: Literal["module", "onnx_graph", "keras_config", "tflite_graph", "export_graph", "cnn_filter_db"]

    @property
    def transposed(self) -> bool:
        """Whether this is a transposed convolution, whose weight has the input channels first."""
        return self.op.startswith("conv_transpose")


@dataclass(frozen=True, kw_only=True)
class Place:
    """The part that a convolution has in its network, from the graph.

    Attributes:
        calls: Numbers of its calls among all calls of convolutions, in the order of execution.
        is_stem: Whether it is in the stem: the chain of convolutions from the input up to the first that more than one
            convolution follows, the first depthwise one, a matrix product, or, in networks without attention, a map a
            quarter of the size of the input.
        is_last_spatial: Whether it has more than one tap and no such convolution depends on it; fully connected layers
            that are stored as convolutions do not count; None where the graph does not tell these.
        pointwise_follower: Of a depthwise convolution, the number of the first call of a pointwise one that takes its
            output with no other convolution and no matrix product between; None where there is none.
    """

    calls: tuple[int, ...]
    is_stem: bool
    is_last_spatial: bool | None
    pointwise_follower: int | None = None


@dataclass(frozen=True, kw_only=True)
class FollowingNorm:
    """The batch normalization that takes the output of a convolution, and that alone takes it.

    Where the network has one whose numbers are not in the checkpoint, all names are None.

    Attributes:
        path: Module path, or name of the graph node.
        scale: Name of the tensor that is multiplied; None for 1.
        offset: Name of the tensor that is added; None for 0.
        mean: Name of the running mean.
        variance: Name of the running variance, whose `eps` is what is added to it.
    """

    path: str
    scale: str | None = None
    offset: str | None = None
    mean: str | None = None
    variance: str | None = None


@dataclass(frozen=True, kw_only=True)
class Standardization:
    """Weight standardization: each filter is `(weight - mean) / sqrt(variance + eps) * gain * factor`.

    Mean and biased variance are those of the filter (Qiao et al. 2019, arXiv 1903.10520; with a gain Brock et al. 2021,
    arXiv 2101.08692).

    Attributes:
        eps: What is added to the variance.
        factor: A number for the whole layer.
        gain: Name of the tensor with one number a filter; None for 1.
    """

    eps: float
    factor: float = 1.0
    gain: str | None = None


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Position of a convolution in its network, counted in convolutions of any kind, 1x1 and fixed ones included.

    Where a convolution is called several times the first call counts, and the last one for `is_last`.

    Attributes:
        conv_depth: Convolutions on the longest path before it; 0 for a first one.
        conv_depth_norm: `conv_depth` divided by the largest of the network, in [0, 1]; 0.0 where all are equal.
        n_conv_ancestors: Convolutions it depends on; None where unknown.
        is_first: Whether it depends on none; None where unknown.
        is_last: Whether none depends on it; None where unknown.
        place: Its part in the network; None where unknown.
    """

    conv_depth: int
    conv_depth_norm: float
    n_conv_ancestors: int | None
    is_first: bool | None
    is_last: bool | None
    place: Place | None = None

    @property
    def decile(self) -> int:
        """Bin of `conv_depth_norm`, 0 to 9; bins are (a, b] of width 0.1, and the first includes 0."""
        # Edges are computed by division as the depth was, so that equal fractions are equal floats.
        return next(i for i in range(10) if self.conv_depth_norm <= (i + 1) / 10)


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """One tensor of a checkpoint.

    Attributes:
        name: Full path of the tensor in the checkpoint, unique within it.
        key: Name in the mapping that holds it, or the path of attributes in a pickled module without wrappers
            (`layer1.0.conv1.weight`).
        root: Keys of the containers above that mapping (`("state_dict",)`).
        layer: The module or graph node it belongs to; None where it follows from `key`.
        shape: Size of each axis, in elements.
        dtype: Name of the stored dtype, as torch calls it where torch has it.
        location: Where its elements are; None where they cannot be read, and `reason` then says why.
        convolution: What the file states about the convolution that uses it; None where it states nothing.
        quantization: How stored codes become weights; None for weights that are stored as such.
        weight: The weight that the network convolves with, where it is computed from this tensor and others: from codes
            and scales, by a transposition, from a slice. None where it is this tensor, with its `quantization`.
        parts: The layers whose weights are computed from this tensor, where there are several: records with the same
            name and each its own `weight`, `convolution` and `bank_index`.
        reason: Why the file shows that this is not a kernel, or cannot be read, a word of
            `filtercrawl.api.vocabulary.REASONS`; None where it does not.
        rule: Short name of the rule by which the reader found the reason, which `filtercrawl inspect` shows; None if it
            has no name.
        notes: Other facts about the weight, one word each, which `filtercrawl inspect` shows.
        depth: Position in the network, from the graph; None where it is unknown.
        weight_kind: How the network obtains its weight, from the graph; None where it is unknown.
        bank: Shape of the kernels of one expert, where the tensor is a bank of experts stacked along its first axis;
            `filtercrawl.extraction.expert_banks.expand_banks` splits it.
        bank_index: Index of the expert in its bank; None for a tensor that comes from no bank.
        layout: Order of the axes in the file, a value of `filtercrawl.api.layout.Layout`, where the file shows that
            this is a kernel and in which order it is stored; `shape` and `location` are then in the order of torch.
            None where name and shape have to tell.
        negated: Whether the weight is the negative of what is stored, as for the imaginary part of a conjugate.
        norm: The batch normalization that alone takes the output of the convolution, from the graph; None where no
            graph shows one.
        bias: Name of the tensor with the bias of the convolution, where a graph states one; None where names have to
            tell, or where there is none.
        standardization: How the network standardizes the weight before it convolves, None where it is not known to.
        eps: Of a running variance, what the network adds to it; None where it is unknown.
        bn_folded: Whether a normalization that followed the convolution is folded into the weight; None where it is
            unknown.
    """

    name: str
    key: str
    root: tuple[str, ...] = ()
    layer: str | None = None
    shape: tuple[int, ...]
    dtype: str
    location: TensorLocation | None
    convolution: Convolution | None = None
    quantization: Quantization | None = None
    weight: ComputedWeight | None = None
    parts: tuple[StoredTensor, ...] = ()
    reason: str | None = None
    notes: tuple[str, ...] = field(default=())
    depth: Depth | None = None
    weight_kind: str | None = None
    bank: tuple[int, ...] | None = None
    bank_index: int | None = None
    layout: str | None = None
    rule: str | None = None
    negated: bool = False
    norm: FollowingNorm | None = None
    bias: str | None = None
    standardization: Standardization | None = None
    eps: float | None = None
    bn_folded: bool | None = None

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight that the network convolves with."""
        return self.shape if self.weight is None else self.weight.shape

    def weight_spans(self) -> tuple[Span, ...]:
        """Return the bytes that reading the weight reads."""
        if self.weight is not None:
            return tuple(self.weight.spans())
        return () if self.location is None else (self.location.byte_span,)
