"""Cells of a table as plain values; what a pickle holds is read as data and nothing in it is run."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.objects import NumpyArray, NumpyDType, Stub
from filtercrawl_plugins.formats.pickle.unpickle import unpickle

# The published table has 1.3 million cells of objects; an object costs some 200 bytes by the walker's estimate.
BUDGET: Final = 1_073_741_824
SCALARS: Final = frozenset({"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"})
FORMS: Final = {"f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q",
                "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "b1": "?"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class UnknownObject:
    """A cell that holds an object of some class; which, is all that is known of it."""

    path: str


Cell = str | int | float | bool | UnknownObject | None


@dataclass(frozen=True, slots=True)
class Matrix:
    """Cells of an array of one or two axes. fortran: in column order."""

    shape: tuple[int, ...]
    cells: list[Cell]
    fortran_order: bool = False

    def column(self, index: int) -> list[Cell]:
        """Return cells [:, index] of two axes, or all of one."""
        if len(self.shape) == 1:
            return self.cells
        rows, columns = self.shape
        if self.fortran_order:
            return self.cells[index * rows : (index + 1) * rows]
        return self.cells[index::columns]

    @property
    def transposed(self) -> Matrix:
        return Matrix(self.shape[::-1], self.cells, len(self.shape) == 2 and not self.fortran_order)


def to_plain_value(value: object) -> Cell:
    """Return a value of a pickle or an array as a cell; NaN and None are both None."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Stub):
        return scalar(value)
    return UnknownObject(type(value).__name__)


def scalar(stub: Stub) -> Cell:
    """Return the number or text of a NumPy scalar."""
    match stub.args:
        case (NumpyDType() as kind, bytes(data)) if stub.path in SCALARS:
            order = ">" if kind.byte_order == ">" else "<"
            if kind.code in FORMS and len(data) == struct.calcsize(FORMS[kind.code]):
                return to_plain_value(struct.unpack(order + FORMS[kind.code], data)[0])
            if kind.code.startswith("U"):
                return data.decode("utf-32-be" if order == ">" else "utf-32-le", "replace").rstrip("\0")
    return UnknownObject(stub.path)


def read_matrix(data: bytes, name: str) -> Matrix:
    """Read a pickled array of objects; raises CheckpointError."""
    value = unpickle(Cursor(MemoryFile(data, name)), BUDGET).value
    if isinstance(value, NumpyArray) and isinstance(value.data, list):
        shape = tuple(size for size in value.shape if isinstance(size, int) and size >= 0)
        if len(shape) == len(value.shape) in (1, 2) and math.prod(shape) == len(value.data):
            # NumPy pickles objects in the order of rows, also those of an array that lies in the order of columns.
            return Matrix(shape, [to_plain_value(cell) for cell in value.data])
    raise FormatError(f"{name}: its pickle is no array of objects")


def read_names(data: object, name: str) -> list[str]:
    """Read a pickled list of names, as PyTables keeps it in an attribute; raises CheckpointError."""
    if isinstance(data, str):
        data = data.encode("latin-1", "replace")
    value = unpickle(Cursor(MemoryFile(data, name))).value if isinstance(data, bytes) and data else None
    if isinstance(value, list):
        found = [cell if isinstance(cell := to_plain_value(entry), str) else "" for entry in value]
        if all(found):
            return found
    raise FormatError(f"{name}: is no list of names")


def decode_texts(values: Iterable[bytes], encoding: str, missing: str | None) -> list[Cell]:
    """Decode fixed-width text; missing: how the table writes a cell without value."""
    decoded = (value.decode(encoding, "replace") for value in values)
    return [None if text == missing else text for text in decoded]


def to_cells(values: Sequence[object]) -> list[Cell]:
    return [to_plain_value(value) for value in values]
