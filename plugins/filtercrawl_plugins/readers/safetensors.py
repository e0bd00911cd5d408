"""Reader for safetensors: a JSON header with names, shapes and offsets, then the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from filtercrawl.api.errors import FormatError, TruncatedError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.source import Files, Reader
from filtercrawl.api.tensor import ITEMSIZE, StoredTensor, TensorLocation

# The format's own limit, which its reference implementation enforces too.
HEADER_LIMIT = 100_000_000

DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
    "BOOL": "bool", "C64": "complex64",
}  # fmt: skip


class SafetensorsReader:
    name = "safetensors"

    def can_read(self, file: RandomAccessFile) -> bool:
        if file.size < 10:
            return False
        head = file.read(0, 9)
        return int.from_bytes(head[:8], "little") <= HEADER_LIMIT and head[8:] == b"{"

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's signature
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        file = files.main
        start, header = read_header(file)
        entries = [(name, *check_entry(file, name, entry)) for name, entry in header.items() if name != "__metadata__"]
        entries.sort(key=lambda entry: entry[3:])
        end = 0
        for name, dtype, shape, begin, stop in entries:
            if begin != end:
                raise FormatError(f"{file.name}: the bytes of {name!r} start at {begin}, those before end at {end}")
            end = stop
            known = DTYPES.get(dtype)
            extent = None
            if known:
                if stop - begin != math.prod(shape) * ITEMSIZE[known]:
                    raise FormatError(f"{file.name}: {name!r} has {stop - begin} bytes for {dtype} {list(shape)}")
                extent = TensorLocation(file=file, offset=start + begin, dtype=known, shape=shape)
            yield StoredTensor(
                name=name,
                key=name,
                shape=shape,
                dtype=known or dtype.lower(),
                location=extent,
                reason=None if known else "unreadable",
            )


def read_header(file: RandomAccessFile) -> tuple[int, dict[str, Any]]:
    """Return where the numbers start, and the header; raises FormatError or TruncatedError."""
    length = int.from_bytes(file.read(0, 8), "little")
    if length > file.size - 8:
        raise TruncatedError(f"{file.name}: its header claims {length} bytes of the {file.size} in the file")
    try:
        header = json.loads(file.read(8, length), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{file.name}: the safetensors header is not valid JSON ({error})") from error
    return 8 + length, header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key occurs twice")
    return mapping


def check_entry(file: RandomAccessFile, name: str, entry: object) -> tuple[str, tuple[int, ...], int, int]:
    """Return dtype, shape, begin and end of one tensor; raises FormatError for anything but that."""
    if isinstance(entry, dict):
        dtype, shape, offsets = entry.get("dtype"), _sizes(entry.get("shape")), _sizes(entry.get("data_offsets"))
        if isinstance(dtype, str) and shape is not None and offsets and len(offsets) == 2 and offsets[0] <= offsets[1]:
            return dtype, shape, offsets[0], offsets[1]
    raise FormatError(f"{file.name}: the entry of {name!r} lacks a sound dtype, shape or data_offsets")


def _sizes(value: object) -> tuple[int, ...] | None:
    sound = isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
    return tuple(value) if isinstance(value, list) and sound else None


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    yield SafetensorsReader()
