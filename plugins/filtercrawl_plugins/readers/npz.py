"""Reader of NumPy archives (`.npz`): a zip archive of `.npy` files.

Format of an array: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Iterator
from typing import Final

from filtercrawl.api.errors import CheckpointError, FormatError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.range_file import RandomAccessFile, Span, prefetch
from filtercrawl.api.reader import Files, Reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation, row_major
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.zip import ZipArchive, read_directory
from filtercrawl_plugins.readers.arrays.axis_order import arrange_arrays
from filtercrawl_plugins.readers.arrays.byte_order import little_endian
from filtercrawl_plugins.readers.arrays.names import path_separator
from filtercrawl_plugins.readers.arrays.objax_names import NAMES, objax_arrays

MAGIC: Final = b"\x93NUMPY"
# Characters of an array header that NumPy itself accepts by default.
MAX_HEADER_BYTES: Final = 10_000
# Steps of reading the header of an array.
ARRAY_COST: Final = 100
# Bytes of the first read of an array: a header has 128 bytes unless the shape is very long.
HEAD_BYTES: Final = 256
# torch dtypes by NumPy's type string, little-endian.
DTYPES: Final = {
    "<f8": "float64", "<f4": "float32", "<f2": "float16", "<i8": "int64", "<i4": "int32", "<i2": "int16",
    "<u8": "uint64", "<u4": "uint32", "<u2": "uint16", "|i1": "int8", "|u1": "uint8", "|b1": "bool",
    "<c8": "complex64", "<c16": "complex128",
}  # fmt: skip

# Stands for the type of an array whose elements have several fields.
RECORD: Final = "record"


class NpzReader:
    """Reads archives of `.npy` files.

    The name of an array is its tensor name, or that of its variable in an archive of Objax; in the key, what separates
    modules becomes a dot.
    """

    name = "npz"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is a zip archive in which every name ends in `.npy`."""
        if file.size < 4 or file.read(0, 4) != b"PK\3\4":
            return False
        try:
            names = read_directory(file).entries.keys()
        except CheckpointError:
            return False
        return bool(names) and all(name.endswith(".npy") for name in names)

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - protocol
        """Return ()."""
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the arrays in the order of the archive, kernels arranged as in torch; raises CheckpointError."""
        archive = ZipArchive(files.main, Budget(files.main))
        for name in archive.entries:
            archive.budget.add_tensor(len(name))
            archive.budget.spend(ARRAY_COST)
        arrays = {name.removesuffix(".npy"): archive.open(name) for name in archive.entries}
        prefetch(Span(file, 0, min(HEAD_BYTES, file.size)) for file in arrays.values())
        separator = path_separator(arrays)
        stored = [read_array(name, file, separator, archive.budget) for name, file in arrays.items()]
        yield from objax_arrays(stored, arrays.get(NAMES)) or arrange_arrays(stored)


def read_array(name: str, file: RandomAccessFile, separator: str, budget: Budget) -> StoredTensor:
    """Read the header of an array and return its record.

    Args:
        name: Name of the array in the archive.
        file: The `.npy` file.
        separator: What separates modules in the name.
        budget: That of the checkpoint; a header that is longer than most is charged by its characters.

    Returns:
        The record. Arrays of records and dates have the reason `other`; those of objects or text, `unreadable`.

    Raises:
        FormatError: The file is no NumPy array, or its size does not match its shape.
        UnsafeFileError: The budget is spent.
    """
    head = file.read(0, min(HEAD_BYTES, file.size))
    if not head.startswith(MAGIC) or len(head) < 12 or head[6] not in (1, 2, 3):
        raise FormatError(f"{file.name}: {name[:80]!r} is not a NumPy array")
    # Magic (6 bytes), version (2), length of the header (2 in version 1, else 4), header, elements.
    start = 8 + (2 if head[6] == 1 else 4)
    length = int.from_bytes(head[8:start], "little")
    end = start + length
    if length > MAX_HEADER_BYTES or end > file.size:
        raise FormatError(
            f"{file.name}: the header of {name[:80]!r} claims {length} bytes, more than is possible or supported"
        )
    budget.spend(max(length - HEAD_BYTES, 0))
    if end > len(head):
        head += file.read(len(head), end - len(head))
    descr, fortran_order, shape = parse_header(head[start:end], f"{file.name}: {name[:80]!r}")
    dtype = DTYPES.get(descr.replace(">", "<", 1))
    location = None
    if dtype is not None:
        if math.prod(shape) * ITEMSIZE[dtype] != file.size - end:
            raise FormatError(
                f"{file.name}: {name[:80]!r} has {file.size - end} bytes, which do not fit {dtype} {list(shape)}"
            )
        strides = tuple(reversed(row_major(shape[::-1]))) if fortran_order else ()
        location = TensorLocation(file=file, offset=end, dtype=dtype, shape=shape, strides=strides)
        location = little_endian(location) if descr[0] == ">" else location
    return StoredTensor(
        name=name,
        key=name.replace(separator, "."),
        shape=shape,
        dtype=dtype or descr,
        location=location,
        reason=None if dtype else "other" if descr == RECORD or descr[1:2] in ("M", "m") else "unreadable",
    )


def parse_header(header: bytes, array: str) -> tuple[str, bool, tuple[int, ...]]:
    """Parse the header of an array, a Python literal.

    Args:
        header: The literal, padded with spaces.
        array: Name of the array, for messages.

    Returns:
        (descr, fortran_order, shape): the type string, `RECORD` for a list of fields; whether the array is in
        column-major order; and its sizes.

    Raises:
        FormatError: The header is not such a literal, or the shape is invalid.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of text in the file, such as an unknown escape
            fields = ast.literal_eval(header.decode("latin-1").strip())
        descr, fortran_order, shape = fields["descr"], fields["fortran_order"], fields["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise FormatError(f"{array}: the header cannot be parsed") from error
    if not isinstance(descr, str | list):
        raise FormatError(f"{array}: the header has an invalid type")
    valid = isinstance(shape, tuple) and all(type(size) is int and 0 <= size < 1 << 62 for size in shape)
    if not valid or len(shape) > 32 or not isinstance(fortran_order, bool):
        raise FormatError(f"{array}: the header has an invalid shape")
    return RECORD if isinstance(descr, list) else descr[:80], fortran_order, shape


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    """Yield the reader of this plugin."""
    yield NpzReader()
