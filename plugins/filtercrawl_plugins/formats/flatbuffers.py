"""Tables of a FlatBuffers file, read by byte range: every offset and length is checked before it is followed.

Specification: https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import RandomAccessFile, check_range
from filtercrawl_plugins.formats.budget import Budget

PAGE_BYTES: Final = 16_384
MAX_PAGES: Final = 256
MAX_TEXT_BYTES: Final = 4096
# Steps of a number that is read by itself; one of a vector takes one step, and a quarter where it becomes an array.
NUMBER_COST: Final = 4
ELEMENTS_PER_STEP: Final = 4


class FlatFile:
    """A FlatBuffers file.

    Attributes:
        file: The file.
        budget: The budget of its checkpoint: tables may share parts, but only up to a point.
    """

    def __init__(self, file: RandomAccessFile, budget: Budget) -> None:
        self.file = file
        self.budget = budget
        self._pages: OrderedDict[int, bytes] = OrderedDict()

    def root(self) -> Table:
        """Return the root table."""
        return self.table(self.number(0, "<I"))

    def table(self, position: int) -> Table:
        """Return the table at a position; raises FormatError if its list of fields is invalid."""
        vtable = position - self.number(position, "<i")
        size = self.number(vtable, "<H")
        if size < 4 or size % 2:
            raise FormatError(f"{self.file.name}: invalid table at byte {position}; fetch it again")
        check_range(self.file, vtable, size)
        return Table(self, position, vtable, size)

    def number(self, position: int, layout: str) -> int:
        """Return the integer in a `struct` format at a position."""
        size = struct.calcsize(layout)
        self.budget.spend(NUMBER_COST)
        return int(struct.unpack(layout, self.read(position, size))[0])

    def read(self, position: int, length: int) -> bytes:
        """Return bytes through a cache of pages; raises TruncatedError past the end."""
        check_range(self.file, position, length)
        page, at = divmod(position, PAGE_BYTES)
        if at + length <= PAGE_BYTES:
            return self._page(page)[at : at + length]
        first, last = position // PAGE_BYTES, (position + length - 1) // PAGE_BYTES
        data = b"".join(self._page(number) for number in range(first, last + 1)) if length else b""
        start = position - first * PAGE_BYTES
        return data[start : start + length]

    def _page(self, number: int) -> bytes:
        if number not in self._pages:
            start = number * PAGE_BYTES
            self._pages[number] = self.file.read(start, min(PAGE_BYTES, self.file.size - start))
            if len(self._pages) > MAX_PAGES:
                self._pages.popitem(last=False)
        self._pages.move_to_end(number)
        return self._pages[number]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, whose fields are given by number.

    Attributes:
        flat: The file.
        position: Offset of the table.
        vtable: Offset of the list of its fields.
        vtable_size: Bytes of that list.
    """

    flat: FlatFile
    position: int
    vtable: int
    vtable_size: int

    def number(self, field: int, layout: str, default: int = 0) -> int:
        """Return a field that is an integer, in a `struct` format."""
        at = self._field(field)
        return default if at is None else self.flat.number(at, layout)

    def table(self, field: int) -> Table | None:
        """Return a field that is a table, None if it is missing."""
        at = self._field(field)
        return None if at is None else self.flat.table(at + self.flat.number(at, "<I"))

    def vector(self, field: int, itemsize: int) -> tuple[int, int]:
        """Return offset and length of a field that is a vector, (0, 0) if it is missing."""
        at = self._field(field)
        if at is None:
            return 0, 0
        start = at + self.flat.number(at, "<I")
        length = self.flat.number(start, "<I")
        check_range(self.flat.file, start + 4, length * itemsize)
        return start + 4, length

    def numbers(self, field: int, code: str) -> tuple[float, ...]:
        """Return a field that is a vector of numbers, by the `struct` code of one."""
        itemsize = struct.calcsize(f"<{code}")
        start, length = self.vector(field, itemsize)
        self.flat.budget.spend(length)
        return struct.unpack(f"<{length}{code}", self.flat.read(start, length * itemsize)) if length else ()

    def integers(self, field: int, code: str) -> tuple[int, ...]:
        """Return a field that is a vector of integers."""
        return tuple(map(int, self.numbers(field, code)))

    def array(self, field: int, code: str) -> NDArray[np.int64]:
        """Return a field that is a vector of integers, by the `struct` code of one, as an array."""
        dtype = np.dtype(f"<{code}")
        start, length = self.vector(field, dtype.itemsize)
        self.flat.budget.spend(length // ELEMENTS_PER_STEP)
        return np.frombuffer(self.flat.read(start, length * dtype.itemsize), dtype).astype(np.int64)

    def tables(self, field: int) -> list[Table]:
        """Return a field that is a vector of tables."""
        start, length = self.vector(field, 4)
        places = range(start, start + 4 * length, 4)
        return [self.flat.table(place + self.flat.number(place, "<I")) for place in places]

    def text(self, field: int) -> str:
        """Return a field that is a string, cut after 4096 bytes; empty if it is missing."""
        start, length = self.vector(field, 1)
        length = min(length, MAX_TEXT_BYTES)
        self.flat.budget.spend(length // 16)
        return self.flat.read(start, length).decode("utf-8", "backslashreplace") if length else ""

    def _field(self, field: int) -> int | None:
        """Return the offset of a field in the file, None if the table does not have it."""
        place = 4 + 2 * field
        if place + 2 > self.vtable_size:
            return None
        offset = self.flat.number(self.vtable + place, "<H")
        return self.position + offset if offset else None
