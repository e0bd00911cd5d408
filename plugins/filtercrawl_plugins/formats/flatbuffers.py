"""Tables of a FlatBuffers file, read by byte range: every offset and length is checked before it is followed.

Specification: https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import RandomAccessFile, check_range

PAGE_BYTES: Final = 16_384
MAX_PAGES: Final = 256
MAX_TEXT_BYTES: Final = 4096
# Elements read for each byte of the file, and besides: tables may share vectors, but only up to a point.
MAX_ELEMENTS_PER_BYTE: Final = 16
MAX_EXTRA_ELEMENTS: Final = 1_000_000


class FlatFile:
    """A FlatBuffers file.

    Attributes:
        file: The file.
    """

    def __init__(self, file: RandomAccessFile) -> None:
        self.file = file
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self._elements_left = MAX_ELEMENTS_PER_BYTE * file.size + MAX_EXTRA_ELEMENTS

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
        self.spend(1)
        return int(struct.unpack(layout, self.read(position, size))[0])

    def read(self, position: int, length: int) -> bytes:
        """Return bytes through a cache of pages; raises TruncatedError past the end."""
        check_range(self.file, position, length)
        first, last = position // PAGE_BYTES, (position + length - 1) // PAGE_BYTES
        data = b"".join(self._page(number) for number in range(first, last + 1)) if length else b""
        start = position - first * PAGE_BYTES
        return data[start : start + length]

    def spend(self, count: int) -> None:
        """Count elements that are read; raises UnsafeFileError if they are more than the file can have."""
        self._elements_left -= count
        if self._elements_left < 0:
            raise UnsafeFileError(f"{self.file.name}: its tables share more parts than any model needs")

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
        self.flat.spend(length)
        return struct.unpack(f"<{length}{code}", self.flat.read(start, length * itemsize)) if length else ()

    def integers(self, field: int, code: str) -> tuple[int, ...]:
        """Return a field that is a vector of integers."""
        return tuple(map(int, self.numbers(field, code)))

    def tables(self, field: int) -> list[Table]:
        """Return a field that is a vector of tables."""
        start, length = self.vector(field, 4)
        self.flat.spend(length)
        places = range(start, start + 4 * length, 4)
        return [self.flat.table(place + self.flat.number(place, "<I")) for place in places]

    def text(self, field: int) -> str:
        """Return a field that is a string, cut after 4096 bytes; empty if it is missing."""
        start, length = self.vector(field, 1)
        length = min(length, MAX_TEXT_BYTES)
        self.flat.spend(length)
        return self.flat.read(start, length).decode("utf-8", "backslashreplace") if length else ""

    def _field(self, field: int) -> int | None:
        """Return the offset of a field in the file, None if the table does not have it."""
        place = 4 + 2 * field
        if place + 2 > self.vtable_size:
            return None
        offset = self.flat.number(self.vtable + place, "<H")
        return self.position + offset if offset else None
