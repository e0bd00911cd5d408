"""Finds where a tensor's numbers lie: in the model, in a companion, or behind a decoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from filtercrawl.api import range_file
from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import LazyFile, MemoryFile, RandomAccessFile, check_range, relative_path
from filtercrawl.api.source import Files
from filtercrawl.api.tensor import ITEMSIZE, TensorLocation
from filtercrawl_plugins.formats.protobuf.varint import decode_varints
from filtercrawl_plugins.formats.protobuf.wire import ByteRange, WireReader
from filtercrawl_plugins.readers.onnx.graph.types import ConstantValue, OnnxTensor, TensorLike, TypedData
from filtercrawl_plugins.readers.onnx.tensors.dtypes import DOUBLE_DATA, FLOAT_DATA, element_type


class TensorStorage:
    """The numbers of one model's tensors; opens every companion once."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._companions: dict[str, RandomAccessFile] = {}

    def locate(self, held: TensorLike) -> TensorLocation | None:
        """Locate the numbers; None where they are no plain elements that torch has a dtype for.

        Raises FormatError where their count does not match the shape, TruncatedError where a file is too
        short, UnsafeError where the external file lies elsewhere than beside the model.
        """
        main = self._files.main
        if isinstance(held, ConstantValue):
            if held.data is None:
                return None
            return TensorLocation(file=MemoryFile(held.data, main.name), offset=0, dtype=held.dtype, shape=held.shape)
        if not isinstance(held, OnnxTensor) or held.segmented:
            return None
        try:
            element = element_type(held.data_type)
        except FormatError as error:
            raise FormatError(f"{tensor_context(main, held)} {error}; fetch it again") from error
        if not element.readable:
            return None
        size = math.prod(held.shape) * ITEMSIZE[element.dtype]
        if held.external is not None:
            file, offset = self._external(held, held.external, size)
        elif held.raw_data is not None:
            self._expect(held, size, held.raw_data.size)
            file, offset = main, held.raw_data.start
        else:
            file, offset = self._typed(held, element.field, element.dtype, size)
        return TensorLocation(file=file, offset=offset, dtype=element.dtype, shape=held.shape)

    def _external(self, tensor: OnnxTensor, entry: Mapping[str, str], size: int) -> tuple[RandomAccessFile, int]:
        main = self._files.main
        path = external_path(main, tensor, entry)
        offset = self._number(tensor, entry, "offset", 0)
        self._expect(tensor, size, self._number(tensor, entry, "length", size))
        if path not in self._companions:
            self._companions[path] = self._files.open(path)
        file = self._companions[path]
        check_range(file, offset, size)
        return file, offset

    def _number(self, tensor: OnnxTensor, entry: Mapping[str, str], key: str, default: int) -> int:
        text = entry.get(key, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 19):
            raise FormatError(
                f"{tensor_context(self._files.main, tensor)} has the external {key} {text[:40]!r}, which is no number"
            )
        return int(text)

    def _typed(self, tensor: OnnxTensor, number: int, dtype: str, size: int) -> tuple[RandomAccessFile, int]:
        main = self._files.main
        numbers = tensor.typed_data.get(number, TypedData(0, None))
        if number in (FLOAT_DATA, DOUBLE_DATA):
            self._expect(tensor, size, numbers.size)
            if numbers.span is not None or not size:
                return main, numbers.span.start if numbers.span else 0
            return self._lazy(tensor, size, lambda: _join(main, tensor, number)), 0
        count = size // ITEMSIZE[dtype]
        # A varint has one byte at least and ten at most: a claim outside of that is refused before memory is
        # taken.
        if not count <= numbers.size <= 10 * count:
            raise self._mismatch(tensor, f"{numbers.size} bytes of numbers")
        return self._lazy(tensor, size, lambda: _decode(main, tensor, number, dtype)), 0

    def _lazy(self, tensor: OnnxTensor, size: int, decode: Callable[[], bytes]) -> LazyFile:
        main = self._files.main
        return LazyFile(size, decode, main.name, sources=(range_file.Span(main, *tensor.message),))

    def _expect(self, tensor: OnnxTensor, size: int, stored: int) -> None:
        if size != stored:
            raise self._mismatch(tensor, f"{stored} bytes")

    def _mismatch(self, tensor: OnnxTensor, stored: str) -> FormatError:
        shape = "x".join(map(str, tensor.shape)) or "one number"
        return FormatError(
            f"{tensor_context(self._files.main, tensor)} claims {shape} but stores {stored}; fetch it again"
        )


def external_paths(file: RandomAccessFile, tensors: Iterable[TensorLike]) -> tuple[str, ...]:
    """Name the external files, each once, in order; raises UnsafeError for one that lies elsewhere."""
    paths = (
        external_path(file, held, held.external)
        for held in tensors
        if isinstance(held, OnnxTensor) and held.external is not None
    )
    return tuple(dict.fromkeys(paths))


def external_path(file: RandomAccessFile, tensor: OnnxTensor, entry: Mapping[str, str]) -> str:
    """Return the path of a tensor's external file, relative to the model's folder; raises UnsafeError."""
    try:
        path = relative_path(entry.get("location", ""))
        if not path.parts:
            raise UnsafeFileError("names no file for its external data")
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{tensor_context(file, tensor)} {error}") from error
    return str(path)


def tensor_context(file: RandomAccessFile, held: TensorLike) -> str:
    """Say which tensor of which file a message is about, in one line whatever its name holds."""
    return f"{file.name}: tensor {held.name[:80]!r} at byte {held.message.start}"


def _pieces(file: RandomAccessFile, tensor: OnnxTensor, number: int) -> Iterator[ByteRange]:
    for field in WireReader(file, tensor.message.end).fields(*tensor.message):
        if field.number == number:
            yield ByteRange(field.start, field.end)


def _join(file: RandomAccessFile, tensor: OnnxTensor, number: int) -> bytes:
    return b"".join(file.read(span.start, span.size) for span in _pieces(file, tensor, number))


def _decode(file: RandomAccessFile, tensor: OnnxTensor, number: int, dtype: str) -> bytes:
    # float16, bfloat16 and the 8-bit floats stand as their bits, so that every type is decoded as an integer.
    out = np.zeros(math.prod(tensor.shape), np.bool_ if dtype == "bool" else f"<u{ITEMSIZE[dtype]}")
    done = 0
    for span in _pieces(file, tensor, number):
        done += decode_varints(file, span, out[done:])
    if done != out.size:
        raise FormatError(
            f"{tensor_context(file, tensor)} stores {done} numbers, its shape has {out.size}; fetch it again"
        )
    return out.tobytes()
