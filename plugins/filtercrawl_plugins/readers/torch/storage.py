"""Turns the tensors of a pickle into byte ranges of a file, each checked against what the file holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.tensor import ITEMSIZE, Quantization, StoredTensor, TensorLocation, row_major
from filtercrawl_plugins.formats.pickle.objects import NumpyArray, PickledStorage, PickledTensor, Quantizer
from filtercrawl_plugins.formats.pickle.reduce import NUMPY_DTYPES
from filtercrawl_plugins.readers.torch.tensor_walk import FoundTensor

RANK: Final = 64
# All tensors of a file together may be this many times as large as the file, and this many bytes more: views
# that repeat their numbers and storages with many names are honest, but not without end.
TIMES: Final = 100
MORE: Final = 1 << 30
# Scales are read with the header, so that all of them together are few.
SCALES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRegion:
    """Where a storage lies: `size` bytes of a file, numbers of one dtype."""

    file: RandomAccessFile
    offset: int
    size: int
    dtype: str


LocateStorage = Callable[[PickledStorage], StorageRegion]


@dataclass(frozen=True, slots=True)
class LoadedObject:
    """The object of a checkpoint, and what finds its storages."""

    value: object
    locate_storage: LocateStorage


def storage_region(file: RandomAccessFile, offset: int, storage: PickledStorage) -> StorageRegion:
    """Return the region of a storage whose root starts at an offset: all of it, or its view."""
    start, count = storage.view or (0, storage.numel)
    itemsize = storage.itemsize
    return StorageRegion(file=file, offset=offset + start * itemsize, size=count * itemsize, dtype=storage.dtype)


class TensorLocator:
    """Makes the stored tensors of one file, whose storages `locate` finds, and counts what they claim."""

    def __init__(self, file: RandomAccessFile, locate: LocateStorage) -> None:
        self._file = file
        self.locate_storage = locate
        self._bytes = 0
        self._scales = 0
        self._names: set[str] = set()

    def locate(self, found: FoundTensor, reason: str | None = None) -> StoredTensor:
        """Return a tensor with its place; raises FormatError where it reaches beyond its storage."""
        place = found.path
        name = self._unique(found.name)
        if place.key is None:
            root, key, layer = place.path[:-1], place.path[-1], None
        else:
            root, key, layer = place.root, ".".join(place.key), ".".join(place.layer or ())
        shape = self._integers(found.value.shape, name)
        extent, dtype = self._extent(found.value, shape, name)
        convolution = None
        if place.owner is not None:
            attribute = place.key[-1] if place.key else ""
            convolution = place.owner.convolution(attribute, shape)
            if convolution is None:
                reason = reason or place.owner.skip_reason(attribute)
        quantization = None
        if isinstance(found.value, PickledTensor) and found.value.quantizer is not None and extent is not None:
            quantization = self._quantization(found.value.quantizer, shape, name)
            if quantization is None:
                extent = None
        if extent is None:
            reason = "unreadable"
        elif dtype.startswith("complex"):
            reason = "complex"
        return StoredTensor(
            name=name,
            key=key,
            root=root,
            layer=layer,
            shape=shape,
            dtype=dtype,
            location=extent,
            convolution=convolution,
            quantization=quantization,
            reason=reason,
        )

    def _extent(
        self, value: PickledTensor | NumpyArray, shape: tuple[int, ...], name: str
    ) -> tuple[TensorLocation | None, str]:
        if isinstance(value, NumpyArray):
            return self._array(value, shape, name)
        if value.storage is None:
            return None, value.dtype or "unknown"
        region = self.locate_storage(value.storage)
        dtype = value.dtype or region.dtype
        if dtype not in ITEMSIZE:
            return None, dtype
        strides = self._integers(value.strides, name)
        if len(strides) != len(shape) or value.offset < 0:
            raise FormatError(f"{self._file.name}: the tensor {name!r} has no sound place in its storage")
        empty = 0 in shape
        last = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        reach = 0 if empty else (value.offset + last + 1) * ITEMSIZE[dtype]
        if reach > region.size:
            raise FormatError(
                f"{self._file.name}: the tensor {name!r} promises {reach} bytes, its storage {region.size}"
            )
        self._count(shape, dtype)
        offset = region.offset + (0 if empty else value.offset * ITEMSIZE[dtype])
        return TensorLocation(file=region.file, offset=offset, dtype=dtype, shape=shape, strides=strides), dtype

    def _array(self, value: NumpyArray, shape: tuple[int, ...], name: str) -> tuple[TensorLocation | None, str]:
        code = value.dtype.code if value.dtype else ""
        dtype = NUMPY_DTYPES.get(code)
        if dtype is None or value.dtype is None or not isinstance(value.data, bytes):
            return None, dtype or f"numpy {code[:16]}"
        if value.dtype.byte_order == ">" and ITEMSIZE[dtype] > 1:
            return None, dtype
        if len(value.data) != math.prod(shape) * ITEMSIZE[dtype]:
            raise FormatError(f"{self._file.name}: the array {name!r} of shape {shape} has {len(value.data)} bytes")
        self._count(shape, dtype)
        strides = row_major(shape[::-1])[::-1] if value.fortran_order else row_major(shape)
        file = MemoryFile(value.data, self._file.name)
        return TensorLocation(file=file, offset=0, dtype=dtype, shape=shape, strides=strides), dtype

    def _quantization(self, quantizer: Quantizer, shape: tuple[int, ...], name: str) -> Quantization | None:
        """Return the scales as numbers; None where zero points are no integers, as in embeddings."""
        count = shape[quantizer.axis] if shape else 1
        self._scales += count
        if self._scales > SCALES:
            raise UnsafeFileError(f"{self._file.name}: its quantised tensors claim more than {SCALES} scales")
        scale = self._numbers(quantizer.scale, count, name)
        zero_point = self._numbers(quantizer.zero_point, count, name)
        if not all(math.isfinite(number) and number == int(number) for number in zero_point):
            return None
        return Quantization(scale=scale, zero_point=tuple(map(int, zero_point)), axis=quantizer.axis)

    def _numbers(self, value: object, count: int, name: str) -> tuple[float, ...]:
        """Read a scale or zero point: a number, a list of `count`, or a tensor of `count` in the file."""
        if isinstance(value, int | float):
            return (value,)
        if isinstance(value, PickledTensor):
            shape = self._integers(value.shape, name)
            extent, dtype = self._extent(value, shape, name)
            if extent is not None and shape == (count,) and dtype in NUMPY:
                raw = extent.read(((0, count),)).tobytes()
                return tuple(np.frombuffer(raw, NUMPY[dtype]).tolist())
        elif isinstance(value, list | tuple) and len(value) == count and all(isinstance(n, int | float) for n in value):
            return tuple(value)
        raise FormatError(f"{self._file.name}: the quantised tensor {name!r} has no sound scales")

    def _integers(self, value: tuple[object, ...], name: str) -> tuple[int, ...]:
        sizes = tuple(size for size in value[: RANK + 1] if isinstance(size, int) and 0 <= size < 1 << 63)
        if len(sizes) != len(value) or len(sizes) > RANK:
            raise FormatError(f"{self._file.name}: the tensor {name!r} has a shape or strides that none can have")
        return sizes

    def _count(self, shape: tuple[int, ...], dtype: str) -> None:
        self._bytes += math.prod(shape) * ITEMSIZE[dtype]
        if self._bytes > TIMES * self._file.size + MORE:
            raise UnsafeFileError(
                f"{self._file.name}: its tensors claim {self._bytes} bytes or more, it has {self._file.size}"
            )

    def _unique(self, name: str) -> str:
        """Tell tensors apart whose paths read the same, as in `{"a.b": x, "a": {"b": y}}`."""
        number = 1
        unique = name
        while unique in self._names:
            number += 1
            unique = f"{name}#{number}"
        self._names.add(unique)
        return unique


NUMPY: Final = {"float64": "<f8", "float32": "<f4", "int64": "<i8", "int32": "<i4"}
