"""Locate the tensors of a pickle in their storages, checked against what the file contains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeGuard

import numpy as np

from filtercrawl.api.errors import FormatError, UnsafeFileError, UnsupportedError
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.tensor import Quantization, StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation, row_major
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.pickle.numpy_objects import NUMPY_DTYPES
from filtercrawl_plugins.formats.pickle.objects import NumpyArray, PickledBytes, PickledTensor, Quantizer
from filtercrawl_plugins.readers.arrays.byte_order import little_endian

if TYPE_CHECKING:
    from filtercrawl_plugins.readers.torch.storage import LocateStorage
    from filtercrawl_plugins.readers.torch.tensor_walk import FoundTensor

MAX_RANK: Final = 64
# All tensors of a file together may claim this many times its size, plus a constant: expanded views and tensors with
# several names are legitimate, but only up to a point.
MAX_CLAIMED_RATIO: Final = 16
MAX_CLAIMED_EXTRA_BYTES: Final = 1 << 28
# Scales of all quantized tensors together; they are read with the header.
MAX_SCALES: Final = 1 << 20

# Codes have at most 32 bits, and a weight is a float32.
MAX_ZERO_POINT: Final = 1 << 31
MAX_SCALE: Final = float(np.finfo(np.float32).max)

# NumPy dtypes of scales and zero points, by torch dtype.
_SCALE_DTYPES: Final = {"float64": "<f8", "float32": "<f4", "int64": "<i8", "int32": "<i4"}


class TensorLocator:
    """Turns the tensors found in one file into `StoredTensor` records, and limits what they claim together.

    Attributes:
        locate_storage: Finds the storages of the object whose tensors are located next.
    """

    def __init__(self, file: RandomAccessFile, locate: LocateStorage, budget: Budget) -> None:
        self._file = file
        self.locate_storage = locate
        self._claimed_bytes = 0
        self._budget = budget
        self._scales = 0
        self._names: set[str] = set()
        self._repeats: dict[str, int] = {}

    def locate(self, found: FoundTensor, reason: str | None = None) -> StoredTensor:
        """Return the record of a tensor.

        Args:
            found: The tensor and its path in the object.
            reason: Why it is no kernel, if the caller knows; otherwise the module that holds it decides.

        Raises:
            FormatError: The tensor exceeds its storage, or its shape or strides are invalid.
            UnsafeFileError: The tensors of the file claim too many bytes together, or its budget is exhausted.
            UnsupportedError: The file is one shard of a distributed checkpoint.
        """
        path = found.path
        self._budget.add_tensor(sum(map(len, path.path)))
        name = self._unique_name(found.name)
        if path.key is None:
            root, key, layer = path.path[:-1], path.path[-1], None
        else:
            root, key, layer = path.root, ".".join(path.key), ".".join(path.layer or ())
        shape = self._check_sizes(found.value.shape, name)
        if isinstance(found.value, PickledTensor) and found.value.whole_shape is not None:
            whole = list(self._check_sizes(found.value.whole_shape, name))
            raise UnsupportedError(
                f"{self._file.name}: holds only a part of the tensor {name!r} of shape {whole}: it is one shard of a "
                "distributed checkpoint; merge the shards with torch.distributed.checkpoint"
            )
        location, dtype = self._locate(found.value, shape, name)
        convolution, rule, weight_kind, eps = None, None, None, None
        if path.owner is not None:
            attribute = path.key[-1] if path.key else ""
            if attribute == "_data" and path.key is not None and len(path.key) > 1:  # codes of a quantized parameter
                attribute = path.key[-2]
            convolution = path.owner.convolution(attribute, shape)
            weight_kind = path.owner.weight_kind(attribute)
            eps = path.owner.variance_eps(attribute)
            if convolution is None and reason is None:
                reason, rule = path.owner.skip_reason(attribute, len(shape)), "module_class"
        quantization = None
        if isinstance(found.value, PickledTensor) and found.value.quantizer is not None and location is not None:
            quantization = self._read_quantization(found.value.quantizer, shape, name)
            if quantization is None:
                location = None
        if location is None:
            reason, rule = "unreadable", "location"
        elif dtype.startswith("complex"):
            reason, rule = "complex", "dtype"
        return StoredTensor(
            name=name,
            key=key,
            root=root,
            layer=layer,
            shape=shape,
            dtype=dtype,
            location=location,
            convolution=convolution,
            quantization=quantization,
            reason=reason,
            rule=rule if reason else None,
            weight_kind=weight_kind,
            eps=eps,
            negated=isinstance(found.value, PickledTensor) and found.value.negated,
        )

    def _locate(
        self, value: PickledTensor | NumpyArray, shape: tuple[int, ...], name: str
    ) -> tuple[TensorLocation | None, str]:
        """Return location and dtype of a tensor; the location is None if its numbers cannot be read."""
        if isinstance(value, NumpyArray):
            return self._locate_array(value, shape, name)
        if value.storage is None:
            return None, value.dtype or "unknown"
        region = self.locate_storage(value.storage)
        dtype = value.dtype or region.dtype
        if dtype not in ITEMSIZE:
            return None, dtype
        strides = self._check_sizes(value.strides, name)
        if len(strides) != len(shape) or value.offset < 0:
            raise FormatError(f"{self._file.name}: the tensor {name!r} has an invalid offset or strides")
        empty = 0 in shape
        last = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        end = 0 if empty else (value.offset + last + 1) * ITEMSIZE[dtype]
        if end > region.size:
            raise FormatError(
                f"{self._file.name}: the tensor {name!r} needs {end} bytes, its storage has {region.size}"
            )
        self._count_bytes(shape, dtype)
        offset = region.offset + (0 if empty else value.offset * ITEMSIZE[dtype])
        return TensorLocation(file=region.file, offset=offset, dtype=dtype, shape=shape, strides=strides), dtype

    def _locate_array(self, value: NumpyArray, shape: tuple[int, ...], name: str) -> tuple[TensorLocation | None, str]:
        code = value.dtype.code if value.dtype else ""
        dtype = NUMPY_DTYPES.get(code)
        data = value.data
        if dtype is None or value.dtype is None or not isinstance(data, bytes | PickledBytes):
            return None, dtype or f"numpy {code[:16]}"
        size = math.prod(shape) * ITEMSIZE[dtype]
        length = len(data) if isinstance(data, bytes) else data.length
        # UTF-8 text has one or two bytes for each byte that it stands for.
        longest = 2 * size if isinstance(data, PickledBytes) and data.text else size
        if not size <= length <= longest:
            raise FormatError(f"{self._file.name}: the array {name!r} of shape {shape} has {length} bytes")
        self._count_bytes(shape, dtype)
        strides = row_major(shape[::-1])[::-1] if value.fortran_order else row_major(shape)
        file = MemoryFile(data, self._file.name) if isinstance(data, bytes) else data.open(size)
        location = TensorLocation(file=file, offset=0, dtype=dtype, shape=shape, strides=strides)
        return little_endian(location) if value.dtype.byte_order == ">" else location, dtype

    def _read_quantization(self, quantizer: Quantizer, shape: tuple[int, ...], name: str) -> Quantization | None:
        """Return quantization parameters as numbers; None if they do not quantize, as zero points with a fraction."""
        count = shape[quantizer.axis] if shape else 1
        self._scales += count
        if self._scales > MAX_SCALES:
            raise UnsafeFileError(f"{self._file.name}: its quantized tensors claim more than {MAX_SCALES} scales")
        scale = self._read_numbers(quantizer.scale, count, name)
        zero_point = self._read_numbers(quantizer.zero_point, count, name)
        if not all(number.is_integer() and abs(number) < MAX_ZERO_POINT for number in zero_point):
            return None
        if not all(abs(number) <= MAX_SCALE for number in scale):
            return None
        return Quantization(scale=scale, zero_point=tuple(map(int, zero_point)), axis=quantizer.axis)

    def _read_numbers(self, value: object, count: int, name: str) -> tuple[float, ...]:
        """Read a scale or zero point: a number, a list of `count` numbers, or a 1-D tensor of `count` elements."""
        if _is_number(value):
            return (float(value),)
        if isinstance(value, PickledTensor):
            shape = self._check_sizes(value.shape, name)
            location, dtype = self._locate(value, shape, name)
            if location is not None and shape == (count,) and dtype in _SCALE_DTYPES:
                raw = location.read(((0, count),)).tobytes()
                return tuple(np.frombuffer(raw, _SCALE_DTYPES[dtype]).astype(float).tolist())
        elif isinstance(value, list | tuple) and len(value) == count and all(map(_is_number, value)):
            return tuple(map(float, value))
        raise FormatError(f"{self._file.name}: the quantized tensor {name!r} has invalid scales")

    def _check_sizes(self, value: tuple[object, ...], name: str) -> tuple[int, ...]:
        sizes = tuple(size for size in value[: MAX_RANK + 1] if type(size) is int and 0 <= size < 1 << 63)
        if len(sizes) != len(value) or len(sizes) > MAX_RANK:
            raise FormatError(f"{self._file.name}: the tensor {name!r} has an invalid shape or invalid strides")
        return sizes

    def _count_bytes(self, shape: tuple[int, ...], dtype: str) -> None:
        self._claimed_bytes += math.prod(shape) * ITEMSIZE[dtype]
        if self._claimed_bytes > MAX_CLAIMED_RATIO * self._file.size + MAX_CLAIMED_EXTRA_BYTES:
            raise UnsafeFileError(
                f"{self._file.name}: its tensors claim {self._claimed_bytes} bytes of a file of {self._file.size}"
            )

    def _unique_name(self, name: str) -> str:
        """Return a name that no other tensor has: in `{"a.b": x, "a": {"b": y}}` two paths give one name."""
        number = self._repeats.get(name, 1)
        unique = name if number == 1 else f"{name}#{number}"
        while unique in self._names:
            number += 1
            unique = f"{name}#{number}"
        self._names.add(unique)
        self._repeats[name] = number
        return unique


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number of at most 64 bits that can be a scale or zero point."""
    return type(value) is float or (type(value) is int and abs(value) < 1 << 63)
