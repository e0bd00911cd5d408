"""Where the elements of a tensor are: a strided view of a file, read box by box."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.errors import FormatError
from filtercrawl.api.formatting import shown
from filtercrawl.api.range_file import READ_CHUNK_BYTES, RandomAccessFile, Span, check_range, read_into

# A box of a tensor: (start, stop) of each axis, in elements.
SliceBounds = tuple[tuple[int, int], ...]

# Bytes that are read for each element of a box whose elements are scattered, rather than reading each by itself.
_SKIPPED_BYTES = 4096

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

        No byte is read twice, and at most `_SKIPPED_BYTES` for each element. A box whose elements are scattered is
        gathered part by part, so that memory is bounded by the box and not by the tensor.

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
        length = span * self.itemsize
        if wanted == 1 or length <= min(READ_CHUNK_BYTES, wanted * _SKIPPED_BYTES):
            raw = self.file.read(self._offset_of(box), length)
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
