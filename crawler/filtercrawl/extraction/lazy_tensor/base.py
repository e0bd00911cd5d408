"""What all lazy tensors have in common, and those whose elements are in a file."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.range_file import Span
from filtercrawl.api.tensor_location import FLOAT_DTYPES, SliceBounds, TensorLocation
from filtercrawl.extraction.widen import settle_nan

# Smallest and largest code of integer dtypes, also of those that torch has no tensors of.
INTEGER_RANGES: Final = {
    "uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-(2**15), 2**15 - 1),
    "uint4": (0, 15), "int4": (-8, 7), "uint2": (0, 3), "int2": (-2, 1), "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}  # fmt: skip
# torch dtypes for elements of dtypes that torch does not have, or does not compute with.
CARRIERS: Final = {
    "uint16": torch.int32, "uint32": torch.int64, "uint4": torch.uint8, "int4": torch.int8, "uint2": torch.uint8,
    "int2": torch.int8, "float4_e2m1": torch.float32, "float8_e8m0fnu": torch.float32,
}  # fmt: skip

# Limits against files that state little and compute much.
MAX_STORED: Final = 64
MAX_HEIGHT: Final = 64
MAX_RANK: Final = 16
# Elements of a tensor, relative to the largest stored one that it is computed from.
MAX_GROWTH: Final = 4


class UnsupportedOperationError(Exception):
    """A tensor cannot be computed here: its operands do not fit together, or the operation is not known."""


@dataclass(frozen=True, kw_only=True)
class LazyTensor(ABC):
    """A tensor whose elements are computed when a box of it is read. Equal ones are computed in the same way.

    Attributes:
        shape: Size of each axis.
        dtype: Name of its dtype; `read` returns another one where torch cannot compute with it.
    """

    shape: tuple[int, ...]
    dtype: str

    @property
    def inputs(self) -> tuple[LazyTensor, ...]:
        """The tensors that it is computed from."""
        return ()

    @abstractmethod
    def read(self, box: SliceBounds) -> torch.Tensor:
        """Compute a box: (start, stop) of each axis."""

    def read_all(self) -> torch.Tensor:
        """Compute the whole tensor."""
        return self.read(tuple((0, size) for size in self.shape))

    def read_float32(self, box: SliceBounds) -> NDArray[np.float32]:
        """Compute a box as float32: half precision is widened, float64 is rounded to nearest.

        NaN is `widen.COMPUTED_NAN`.
        """
        result: NDArray[np.float32] = settle_nan(self.read(box).float().contiguous()).numpy()
        return result

    def walk(self) -> Iterator[LazyTensor]:
        """Yield it and all that it is computed from, operands in their order."""
        yield self
        for part in self.inputs:
            yield from part.walk()

    def stored(self) -> Iterator[Stored]:
        """Yield the stored tensors that it is computed from, in the order of the operands."""
        return (part for part in self.walk() if isinstance(part, Stored))

    def spans(self) -> Iterator[Span]:
        """Yield the bytes that reading the tensor reads."""
        for part in self.stored():
            yield part.location.byte_span

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @cached_property
    def n_stored(self) -> int:
        """Number of stored tensors that one read reads; one that occurs twice counts twice."""
        return sum(part.n_stored for part in self.inputs) or 1

    @cached_property
    def stored_numel(self) -> int:
        """Number of elements of its largest stored tensor."""
        return max(part.stored_numel for part in self.inputs)

    @cached_property
    def height(self) -> int:
        """Number of operations on the longest way to a stored tensor."""
        return 1 + max((part.height for part in self.inputs), default=-1)

    def __post_init__(self) -> None:
        if self.n_stored > MAX_STORED or self.height > MAX_HEIGHT:
            raise UnsupportedOperationError("more operations than any weight needs")
        if len(self.shape) > MAX_RANK or min(self.shape, default=0) < 0:
            raise UnsupportedOperationError(f"{len(self.shape)} axes, or one of a negative size")

    def check_growth(self, free: int) -> None:
        """Raise UnsupportedOperationError if it has far more elements than are stored, and more than `free`."""
        if self.numel > max(MAX_GROWTH * self.stored_numel, free):
            raise UnsupportedOperationError("far more elements than are stored")


@dataclass(frozen=True, kw_only=True)
class Stored(LazyTensor):
    """A tensor, or a strided view of one, whose elements are in a file.

    Attributes:
        location: Its elements.
        origin: What identifies the stored tensor for whoever builds on it.
    """

    location: TensorLocation
    origin: int | str = 0

    def read(self, box: SliceBounds) -> torch.Tensor:
        raw = self.location.read(box)
        flat = torch.from_numpy(raw.reshape(-1)).view(getattr(torch, self.location.dtype)).view(raw.shape[:-1])
        return flat.to(CARRIERS[self.dtype]) if self.dtype in CARRIERS else flat

    @cached_property
    def stored_numel(self) -> int:
        """Number of elements in the file from the first to the last, gaps included."""
        return self.location.span(tuple((0, size) for size in self.shape))

    def view(self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Stored:
        """Return a view of other strides; `offset` is in elements."""
        location = self.location
        start = location.offset + offset * location.itemsize
        moved = replace(location, offset=start, shape=shape, strides=strides)
        return replace(self, shape=shape, location=moved)


def stored(location: TensorLocation, dtype: str | None = None, origin: int | str = 0) -> Stored:
    """Return a stored tensor.

    Args:
        location: Its elements.
        dtype: Its dtype, where elements are stored in another one: `int4` in `int8`.
        origin: What identifies it.

    Raises:
        UnsupportedOperationError: Its elements are no numbers that can be computed with.
    """
    dtype = dtype or location.dtype
    if dtype not in FLOAT_DTYPES and dtype not in INTEGER_RANGES and dtype not in CARRIERS and dtype != "bool":
        raise UnsupportedOperationError(f"elements of type {dtype}")
    return Stored(shape=location.shape, dtype=dtype, location=location, origin=origin)


@dataclass(frozen=True, kw_only=True)
class Unary(LazyTensor):
    """A tensor that is computed from one other."""

    source: LazyTensor

    @property
    def inputs(self) -> tuple[LazyTensor, ...]:
        return (self.source,)
