"""Reader for NumPy archives: a zip of arrays, each with a header of its own."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import Final

from filtercrawl.api.errors import CheckpointError, FormatError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.range_file import RandomAccessFile, Span, prefetch
from filtercrawl.api.source import Files, Reader
from filtercrawl.api.tensor import ITEMSIZE, StoredTensor, TensorLocation, row_major
from filtercrawl_plugins.formats.zip.archive import ZipArchive

MAGIC: Final = b"\x93NUMPY"
# NumPy's own bound on the text that it is willing to parse.
HEADER_LIMIT: Final = 10_000
# What is read of an array at first: NumPy's header takes 128 bytes where the shape is not a long one.
HEAD: Final = 256
DTYPES: Final = {
    "<f8": "float64", "<f4": "float32", "<f2": "float16", "<i8": "int64", "<i4": "int32", "<i2": "int16",
    "<u8": "uint64", "<u4": "uint32", "<u2": "uint16", "|i1": "int8", "|u1": "uint8", "|b1": "bool",
    "<c8": "complex64", "<c16": "complex128",
}  # fmt: skip


class NpzReader:
    name = "npz"

    def can_read(self, file: RandomAccessFile) -> bool:
        if file.size < 4 or file.read(0, 4) != b"PK\3\4":
            return False
        try:
            names = ZipArchive(file).entries.keys()
        except CheckpointError:
            return False
        return bool(names) and all(name.endswith(".npy") for name in names)

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's signature
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        archive = ZipArchive(files.main)
        arrays = {name.removesuffix(".npy"): archive.open(name) for name in archive.entries}
        prefetch(Span(file, 0, min(HEAD, file.size)) for file in arrays.values())
        for name, file in arrays.items():
            yield read_array(name, file)


def read_array(name: str, file: RandomAccessFile) -> StoredTensor:
    """Describe the array that a file holds; pickled objects and text are unreadable, and stay so."""
    head = file.read(0, min(HEAD, file.size))
    if not head.startswith(MAGIC) or len(head) < 12 or head[6] not in (1, 2, 3):
        raise FormatError(f"{file.name}: {name!r} is no NumPy array")
    width = 2 if head[6] == 1 else 4
    start = 8 + width
    length = int.from_bytes(head[8:start], "little")
    end = start + length
    if length > HEADER_LIMIT or end > file.size:
        raise FormatError(f"{file.name}: the header of {name!r} claims {length} bytes")
    if end > len(head):
        head += file.read(len(head), end - len(head))
    descr, fortran, shape = parse(head[start:end], f"{file.name}: {name!r}")
    dtype = DTYPES.get(descr)
    extent = None
    if dtype is not None:
        if math.prod(shape) * ITEMSIZE[dtype] != file.size - end:
            raise FormatError(f"{file.name}: {name!r} has {file.size - end} bytes for {dtype} {list(shape)}")
        strides = tuple(reversed(row_major(shape[::-1]))) if fortran else ()
        extent = TensorLocation(file=file, offset=end, dtype=dtype, shape=shape, strides=strides)
    return StoredTensor(
        name=name,
        key=name.replace("/", "."),
        shape=shape,
        dtype=dtype or descr,
        location=extent,
        reason=None if dtype else "unreadable",
    )


def parse(text: bytes, what: str) -> tuple[str, bool, tuple[int, ...]]:
    """Read descr, fortran_order and shape from a header, which is a Python literal; raises FormatError."""
    try:
        header = ast.literal_eval(text.decode("latin-1").strip())
        descr, fortran, shape = header["descr"], header["fortran_order"], header["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise FormatError(f"{what} has a header that cannot be read") from error
    sizes = isinstance(shape, tuple) and all(type(size) is int and 0 <= size < 1 << 62 for size in shape)
    if not sizes or len(shape) > 32 or not isinstance(fortran, bool):
        raise FormatError(f"{what} has a header without a sound shape")
    return str(descr)[:80], fortran, shape


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    yield NpzReader()
