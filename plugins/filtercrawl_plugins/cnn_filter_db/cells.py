"""Cells of a table as plain values; pickled cells are read as data, and nothing in them is run."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.objects import NumpyArray, NumpyDType, Stub
from filtercrawl_plugins.formats.pickle.unpickle import unpickle

# Scale of the budget of a pickled column block: the published table has 1.3 million cells, each of 200 bytes by the
# estimate and a dozen opcodes.
PICKLE_SCALE: Final = 4
# Functions that a pickled NumPy scalar calls.
SCALAR_FUNCTIONS: Final = frozenset({"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"})
# `struct` formats by NumPy type code.
STRUCT_FORMATS: Final = {"f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q",
                "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "b1": "?"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class UnknownObject:
    """A cell with an object of a class that is not read; `path` is the name of the class."""

    path: str


Cell = str | int | float | bool | UnknownObject | None


@dataclass(frozen=True, slots=True)
class Matrix:
    """Cells of an array.

    Attributes:
        shape: Sizes of its one or two axes.
        cells: All cells, row by row, or column by column if `fortran_order`.
        fortran_order: Whether the cells are in column-major order.
    """

    shape: tuple[int, ...]
    cells: list[Cell]
    fortran_order: bool = False

    def column(self, index: int) -> list[Cell]:
        """Return column `index` of a 2-D array, or all cells of a 1-D array."""
        if len(self.shape) == 1:
            return self.cells
        rows, columns = self.shape
        if self.fortran_order:
            return self.cells[index * rows : (index + 1) * rows]
        return self.cells[index::columns]

    @property
    def transposed(self) -> Matrix:
        """The transposed array."""
        return Matrix(self.shape[::-1], self.cells, len(self.shape) == 2 and not self.fortran_order)


def to_plain_value(value: object) -> Cell:
    """Convert a value of a pickle or an array to a cell; NaN becomes None."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Stub):
        return numpy_scalar(value)
    return UnknownObject(type(value).__name__)


def numpy_scalar(stub: Stub) -> Cell:
    """Return the value of a pickled NumPy scalar; an `UnknownObject` for anything but a number or text."""
    match stub.args:
        case (NumpyDType() as dtype, bytes(data)) if stub.path in SCALAR_FUNCTIONS:
            order = ">" if dtype.byte_order == ">" else "<"
            if dtype.code in STRUCT_FORMATS and len(data) == struct.calcsize(STRUCT_FORMATS[dtype.code]):
                return to_plain_value(struct.unpack(order + STRUCT_FORMATS[dtype.code], data)[0])
            if dtype.code.startswith("U"):
                return data.decode("utf-32-be" if order == ">" else "utf-32-le", "replace").rstrip("\0")
    return UnknownObject(stub.path)


def read_matrix(data: bytes, name: str) -> Matrix:
    """Read a pickled array of objects.

    Args:
        data: The pickle.
        name: What to call it in messages.

    Raises:
        CheckpointError: The pickle is invalid, or no 1-D or 2-D array of objects.
    """
    file = MemoryFile(data, name)
    value = unpickle(Cursor(file), Budget(file, PICKLE_SCALE)).value
    if isinstance(value, NumpyArray) and isinstance(value.data, list):
        shape = tuple(size for size in value.shape if isinstance(size, int) and size >= 0)
        if len(shape) == len(value.shape) in (1, 2) and math.prod(shape) == len(value.data):
            # NumPy pickles objects in row-major order, whatever the memory layout of the array.
            return Matrix(shape, [to_plain_value(cell) for cell in value.data])
    raise FormatError(f"{name}: the pickle is not an array of objects")


def read_names(data: object, name: str) -> list[str]:
    """Read a pickled list of names, as PyTables stores it in an attribute; raises CheckpointError."""
    if isinstance(data, str):
        data = data.encode("latin-1", "replace")
    file = MemoryFile(data if isinstance(data, bytes) else b"", name)
    value = unpickle(Cursor(file), Budget(file)).value if file.size else None
    if isinstance(value, list):
        parsed = [cell if isinstance(cell := to_plain_value(entry), str) else "" for entry in value]
        if all(parsed):
            return parsed
    raise FormatError(f"{name}: the attribute is not a list of names")


def decode_texts(values: Iterable[bytes], encoding: str, missing: str | None) -> list[Cell]:
    """Decode fixed-width strings; `missing` is what the table writes for a cell without value, which becomes None."""
    decoded = (value.decode(encoding, "replace") for value in values)
    return [None if text == missing else text for text in decoded]


def to_cells(values: Sequence[object]) -> list[Cell]:
    """Convert values to cells."""
    return [to_plain_value(value) for value in values]
