"""A tensor as a checkpoint stores it: its name, its place, and what the file proves about its use."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import RandomAccessFile, Span, check_range

Op = Literal["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]
SliceBounds = tuple[tuple[int, int], ...]

# Bytes of one element, by the names that torch gives its dtypes.
ITEMSIZE = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1,
    "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
    "uint16": 2, "uint32": 4, "uint64": 8, "bool": 1, "complex64": 8, "complex128": 16, "complex32": 4,
}  # fmt: skip
# Bytes read at a time: small enough that a copy stays in the cache and adds nothing to the peak.
READ_CHUNK_BYTES = 1024 * 1024
FLOAT_DTYPES = frozenset(name for name in ITEMSIZE if name.startswith(("float", "bfloat")))


@dataclass(frozen=True, kw_only=True)
class TensorLocation:
    """Where a tensor's numbers lie: a strided view of one file, little-endian.

    offset: of element [0, ..., 0], in bytes. strides: in elements, none negative; empty means row-major.
    """

    file: RandomAccessFile
    offset: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.strides:
            object.__setattr__(self, "strides", row_major(self.shape))
        if len(self.strides) != len(self.shape) or min(self.strides, default=0) < 0:
            raise FormatError(f"{self.file.name}: strides {self.strides} do not fit the shape {self.shape}")
        check_range(self.file, self.offset, self.span(tuple((0, n) for n in self.shape)) * self.itemsize)

    @property
    def itemsize(self) -> int:
        return ITEMSIZE[self.dtype]

    def span(self, box: SliceBounds) -> int:
        """Elements from the first to the last of a box, both included, as they lie in the file."""
        if any(stop <= start for start, stop in box):
            return 0
        return 1 + sum((stop - start - 1) * stride for (start, stop), stride in zip(box, self.strides, strict=True))

    @property
    def byte_span(self) -> Span:
        """The bytes of the file from the first element to the last."""
        whole = tuple((0, size) for size in self.shape)
        return Span(self.file, self.offset, self.offset + self.span(whole) * self.itemsize)

    def read(self, box: SliceBounds) -> NDArray[np.uint8]:
        """Read the elements in `box` ((start, stop) per axis) as raw bytes, shape [*box, itemsize], row-major.

        Reads little more than the box holds, and in pieces: where it lies scattered it is gathered part by part, so
        that memory is bounded by the box and not by the tensor.
        """
        out = np.empty((*(stop - start for start, stop in box), self.itemsize), np.uint8)
        if out.size:
            self._gather(box, out)
        return out

    def _gather(self, box: SliceBounds, out: NDArray[np.uint8]) -> None:
        wanted, span = math.prod(out.shape[:-1]), self.span(box)
        if wanted == 1 or (span <= 2 * wanted and span * self.itemsize <= READ_CHUNK_BYTES):
            start = sum(first * stride for (first, _), stride in zip(box, self.strides, strict=True))
            raw = self.file.read(self.offset + start * self.itemsize, span * self.itemsize)
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
    """How integer codes become weights: `(code - zero_point) * scale`, in float32.

    scale, zero_point: one number, or one an index of `axis`. A scale of None means that the file holds none.
    """

    scale: tuple[float, ...] = (1.0,)
    zero_point: tuple[int, ...] = (0,)
    axis: int = 0


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """What a file proves about the convolution that uses a tensor; None where it does not say.

    groups: None where only kernels are known, one a row, and not how they make up filters. stride, padding, dilation:
    one number a spatial axis; padding has two a spatial axis, all begins and then all ends as in ONNX, where the two
    sides differ. learned: False for a buffer, which no training changed.
    """

    op: Op
    groups: int | None
    stride: tuple[int, ...] | None = None
    padding: tuple[int, ...] | None = None
    dilation: tuple[int, ...] | None = None
    learned: bool | None = None
    n_calls: int | None = None
    source: Literal["module", "onnx_graph", "cnn_filter_db"]

    @property
    def transposed(self) -> bool:
        return self.op.startswith("conv_transpose")


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Where in its network a convolution stands, counted in convolutions of any kind, 1x1 and fixed ones included.

    conv_depth: convolutions on the longest path before it, 0 for a first one; conv_depth_norm: conv_depth over the
    deepest of the network, in 0..1, and 0.0 where all have one depth. n_conv_ancestors: convolutions it depends on;
    is_first: on none; is_last: none depends on it. None where that is unknown. Of several calls the first counts;
    is_last is that of the last.
    """

    conv_depth: int
    conv_depth_norm: float
    n_conv_ancestors: int | None
    is_first: bool | None
    is_last: bool | None

    @property
    def decile(self) -> int:
        """The bin of conv_depth_norm, 0 to 9: bins are (a, b] of width 0.1, and the first includes 0."""
        # The edges are divided as the depth was: equal fractions are equal floats.
        return next(i for i in range(10) if self.conv_depth_norm <= (i + 1) / 10)


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """One tensor of a checkpoint.

    root: the containers above the mapping that holds it (`("state_dict",)`); key: its name in that mapping, or the
    path of attributes in a pickled module, wrappers left out (`layer1.0.conv1.weight`); name: the full path as in
    the ledger. layer: the module or node it belongs to, where the file says; otherwise it follows from the key.
    location: None where the numbers cannot be read; `reason` then says so. reason: why the file itself proves that
    this is no kernel (a word of the ledger). notes: what else it tells of the weight, a word each, which
    `filtercrawl inspect` shows. depth, weight_kind: from the graph, where it is known.
    bank: the shape of the kernels of one expert where the tensor is a bank of them, stacked along its first axis;
    `filtercrawl.extraction.architecture.expand_banks` takes it apart into tensors that have a bank_index instead.
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
    reason: str | None = None
    notes: tuple[str, ...] = field(default=())
    depth: Depth | None = None
    weight_kind: str | None = None
    bank: tuple[int, ...] | None = None
    bank_index: int | None = None
