"""Locate the numbers of tensors: in the model, in an external file, or decoded from varints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from filtercrawl.api import range_file
from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import LazyFile, MemoryFile, RandomAccessFile, check_range, relative_path
from filtercrawl.api.reader import Files
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.protobuf.varint import decode_varints
from filtercrawl_plugins.formats.protobuf.wire import ByteRange, WireReader
from filtercrawl_plugins.readers.onnx.graph.types import ConstantValue, OnnxTensor, TensorLike, TypedData
from filtercrawl_plugins.readers.onnx.tensors.dtypes import DOUBLE_DATA, FLOAT_DATA, ElementType, element_type
from filtercrawl_plugins.readers.onnx.tensors.packed import PACKED_TYPES


class TensorStorage:
    """Locates the tensors of one model; opens every external file once."""

    def __init__(self, files: Files, budget: Budget) -> None:
        self._files = files
        self._budget = budget
        self._external_files: dict[str, RandomAccessFile] = {}
        self._located: dict[int, TensorLocation | None] = {}

    def locate(self, tensor: TensorLike) -> TensorLocation | None:
        """Locate the numbers of a tensor; the same object is returned each time.

        Returns:
            None if it is sparse or segmented, or if torch has no dtype for its elements.

        Raises:
            FormatError: The number of elements does not match the shape.
            TruncatedError: A file is too short.
            UnsafeFileError: The external file is outside of the model's folder.
        """
        start = tensor.message.start
        if start not in self._located:
            self._located[start] = self._locate(tensor)
        return self._located[start]

    def _locate(self, tensor: TensorLike) -> TensorLocation | None:
        main = self._files.main
        if isinstance(tensor, ConstantValue):
            if tensor.data is None:
                return None
            return TensorLocation(
                file=MemoryFile(tensor.data, main.name), offset=0, dtype=tensor.dtype, shape=tensor.shape
            )
        if not isinstance(tensor, OnnxTensor) or tensor.segmented:
            return None
        try:
            element = element_type(tensor.data_type)
        except FormatError as error:
            raise FormatError(f"{tensor_context(main, tensor)} {error}; fetch it again") from error
        if not element.readable:
            return None
        count = math.prod(tensor.shape)
        packed = PACKED_TYPES.get(element.dtype)
        if packed is None:
            file, offset = self._locate_bytes(tensor, element, count * ITEMSIZE[element.dtype])
            return TensorLocation(file=file, offset=offset, dtype=element.dtype, shape=tensor.shape)
        size = packed.n_bytes(count)
        codes, first = self._locate_bytes(tensor, ElementType("uint8", element.field), size)
        decoded = LazyFile(
            count * ITEMSIZE[packed.dtype],
            lambda: packed.decode(codes.read(first, size), count),
            main.name,
            sources=(range_file.Span(codes, first, first + size),),
        )
        return TensorLocation(file=decoded, offset=0, dtype=packed.dtype, shape=tensor.shape)

    def _locate_bytes(self, tensor: OnnxTensor, element: ElementType, size: int) -> tuple[RandomAccessFile, int]:
        """Return the file with the elements of a tensor, which have `size` bytes, and their offset."""
        if tensor.external is not None:
            return self._locate_external(tensor, tensor.external, size)
        if tensor.raw_data is not None:
            self._check_size(tensor, size, tensor.raw_data.size)
            return self._files.main, tensor.raw_data.start
        return self._locate_typed(tensor, element.field, element.dtype, size)

    def _locate_external(self, tensor: OnnxTensor, entry: Mapping[str, str], size: int) -> tuple[RandomAccessFile, int]:
        main = self._files.main
        path = external_path(main, tensor, entry)
        offset = self._external_number(tensor, entry, "offset", 0)
        self._check_size(tensor, size, self._external_number(tensor, entry, "length", size))
        if path not in self._external_files:
            self._external_files[path] = self._files.open(path)
        file = self._external_files[path]
        check_range(file, offset, size)
        return file, offset

    def _external_number(self, tensor: OnnxTensor, entry: Mapping[str, str], key: str, default: int) -> int:
        text = entry.get(key, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 19):
            raise FormatError(
                f"{tensor_context(self._files.main, tensor)} has the invalid external {key} {text[:40]!r}"
            )
        return int(text)

    def _locate_typed(self, tensor: OnnxTensor, field: int, dtype: str, size: int) -> tuple[RandomAccessFile, int]:
        main = self._files.main
        data = tensor.typed_data.get(field, TypedData(0, None))
        if field in (FLOAT_DATA, DOUBLE_DATA):
            self._check_size(tensor, size, data.size)
            if data.span is not None or not size:
                return main, data.span.start if data.span else 0
            return self._lazy(tensor, size, lambda: b"".join(self._read_pieces(tensor, field))), 0
        count = size // ITEMSIZE[dtype]
        # A varint has 1 to 10 bytes: any other size is rejected before memory is allocated.
        if not count <= data.size <= 10 * count:
            raise self._size_error(tensor, f"{data.size} bytes of numbers")
        return self._lazy(tensor, size, lambda: self._decode(tensor, field, dtype, count)), 0

    def _lazy(self, tensor: OnnxTensor, size: int, decode: Callable[[], bytes]) -> LazyFile:
        main = self._files.main
        return LazyFile(size, decode, main.name, sources=(range_file.Span(main, *tensor.message),))

    def _pieces(self, tensor: OnnxTensor, number: int) -> Iterator[ByteRange]:
        """Yield the payloads of a field that occurs several times."""
        wire = WireReader(self._files.main, self._budget, tensor.message.end)
        return (ByteRange(field.start, field.end) for field in wire.fields(*tensor.message) if field.number == number)

    def _read_pieces(self, tensor: OnnxTensor, number: int) -> Iterator[bytes]:
        return (self._files.main.read(piece.start, piece.size) for piece in self._pieces(tensor, number))

    def _decode(self, tensor: OnnxTensor, number: int, dtype: str, size: int) -> bytes:
        # Floats of 16 and 8 bits are stored as their bit patterns, so every type is decoded as an unsigned integer.
        out = np.zeros(size, np.bool_ if dtype == "bool" else f"<u{ITEMSIZE[dtype]}")
        count = 0
        for piece in self._pieces(tensor, number):
            count += decode_varints(self._files.main, piece, out[count:])
        if count != out.size:
            raise self._size_error(tensor, f"{count} numbers")
        return out.tobytes()

    def _check_size(self, tensor: OnnxTensor, size: int, stored: int) -> None:
        if size != stored:
            raise self._size_error(tensor, f"{stored} bytes")

    def _size_error(self, tensor: OnnxTensor, stored: str) -> FormatError:
        shape = "x".join(map(str, tensor.shape)) or "scalar"
        return FormatError(
            f"{tensor_context(self._files.main, tensor)} has the shape {shape} but stores {stored}; fetch it again"
        )


def external_paths(file: RandomAccessFile, tensors: Iterable[TensorLike]) -> tuple[str, ...]:
    """Return the paths of the external files, each once, in order; raises UnsafeFileError as `external_path` does."""
    paths = (
        external_path(file, tensor, tensor.external)
        for tensor in tensors
        if isinstance(tensor, OnnxTensor) and tensor.external is not None
    )
    return tuple(dict.fromkeys(paths))


def external_path(file: RandomAccessFile, tensor: OnnxTensor, entry: Mapping[str, str]) -> str:
    """Return the path of a tensor's external file relative to the model's folder.

    Raises:
        UnsafeFileError: The path is empty, absolute, or leaves the folder.
    """
    try:
        path = relative_path(entry.get("location", ""))
        if not path.parts:
            raise UnsafeFileError("has external data without a file name")
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{tensor_context(file, tensor)} {error}") from error
    return str(path)


def tensor_context(file: RandomAccessFile, tensor: TensorLike) -> str:
    """Return the start of an error message about a tensor; its name is escaped, so the message stays on one line."""
    return f"{file.name}: tensor {tensor.name[:80]!r} at byte {tensor.message.start}"
