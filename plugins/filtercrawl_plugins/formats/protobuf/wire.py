"""Walks protobuf messages in a file by byte range and steps over what is long without reading it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from filtercrawl.api.errors import FormatError, TruncatedError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile

VARINT: Final = 0
I64: Final = 1
LEN: Final = 2
I32: Final = 5
_WIDTH: Final = {I64: 8, I32: 4}

# Read ahead: little after a jump over a tensor's numbers, more and more while message follows message.
FIRST_READ: Final = 4096
LONGEST_READ: Final = 256 * 1024

# What one walk may cost: one a field, more for what becomes an object or text. A graph of a hundred thousand
# nodes costs half of it. Without a bound, one gigabyte of nodes of two bytes would take a hundred of memory.
FIELD_BUDGET: Final = 10_000_000
MESSAGE_COST: Final = 8
LONGEST_TEXT: Final = 4096


class Field(NamedTuple):
    """One field of a message. value: of a varint, else 0. start, end: where its payload lies in the file."""

    number: int
    wire_type: int
    value: int
    start: int
    end: int


class WireReader:
    """A file of protobuf messages. Encoding: https://protobuf.dev/programming-guides/encoding/.

    stop: nothing from there on is read; the file's end if not said.
    """

    def __init__(self, file: RandomAccessFile, stop: int | None = None) -> None:
        self.file = file
        self._stop = file.size if stop is None else stop
        self._buffer = b""
        self._start = 0
        self._ahead = FIRST_READ
        self._left = FIELD_BUDGET

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields of the message that lies at [start, end).

        Raises TruncatedError where a field runs past the file, FormatError where it runs past its message or
        is no protobuf, UnsupportedError where there are too many.
        """
        position = start
        while position < end:
            self.charge(1)
            tag, payload = self._varint(position, end)
            number, kind = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise self._broken(position, f"field number {number}")
            if kind == VARINT:
                value, position = self._varint(payload, end)
                yield Field(number, kind, value, payload, position)
                continue
            if kind == LEN:
                length, payload = self._varint(payload, end)
            elif kind in _WIDTH:
                length = _WIDTH[kind]
            else:
                raise self._broken(position, f"wire type {kind}")
            position = payload + length
            if position > end:
                raise self._past(payload, position, end)
            yield Field(number, kind, 0, payload, position)

    def read_integers(self, field: Field) -> Iterator[int]:
        """Yield the signed 64-bit integers of a field: one, or packed ones."""
        if field.wire_type == VARINT:
            yield signed(field.value)
            return
        position = field.start
        while position < field.end:
            self.charge(1)
            value, position = self._varint(position, field.end)
            yield signed(value)

    def read_payload(self, field: Field) -> bytes:
        """Read what a field holds; meant for what is short, for it is paid from the budget."""
        length = field.end - field.start
        self.charge(length // 16)
        first = field.start - self._start
        if first < 0 or first + length > len(self._buffer):
            if length > FIRST_READ:
                return self.file.read(field.start, length)
            self._fill(field.start)
            first = 0
        return self._buffer[first : first + length]

    def read_text(self, field: Field) -> str:
        """Read a name. What is no UTF-8 is escaped, so that different names stay different."""
        if field.end - field.start > LONGEST_TEXT:
            raise self._broken(field.start, f"a name of {field.end - field.start} bytes")
        return self.read_payload(field).decode("utf-8", "backslashreplace")

    def charge(self, cost: int) -> None:
        """Take from the budget of this walk; raises UnsupportedError when it is used up."""
        self._left -= cost
        if self._left < 0:
            raise UnsupportedError(f"{self.file.name}: its graph is larger than any that is read")

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        first = position - self._start
        have = len(self._buffer)
        if 0 <= first < have and position < end and self._buffer[first] < 0x80:
            return self._buffer[first], position + 1  # nearly all of them, and this is where the time goes
        if (first < 0 or first + 10 > have) and (first < 0 or self._start + have < self._stop):
            self._fill(position)
            first, have = 0, len(self._buffer)
        value = 0
        buffer = self._buffer
        last = min(first + 10, have, first + end - position)
        for index in range(first, last):
            byte = buffer[index]
            value |= (byte & 0x7F) << 7 * (index - first)
            if byte < 0x80:
                if value >> 64:
                    break
                return value, self._start + index + 1
        else:
            if last < first + 10:
                raise self._past(position, position + max(last - first, 0) + 1, end)
        raise self._broken(position, "a number of more than 64 bits")

    def _fill(self, position: int) -> None:
        onward = self._start <= position <= self._start + len(self._buffer)
        self._ahead = min(2 * self._ahead, LONGEST_READ) if onward and self._buffer else FIRST_READ
        length = max(0, min(self._ahead, self._stop - position))
        self._buffer = self.file.read(position, length) if length else b""
        self._start = position

    def _past(self, position: int, stop: int, end: int) -> FormatError:
        name, size = self.file.name, self.file.size
        if stop > size:
            return TruncatedError(f"{name}: ends at byte {size}, but promises more at byte {position}; fetch it again")
        return FormatError(f"{name}: the field at byte {position} runs past its message, which ends at {end}")

    def _broken(self, position: int, what: str) -> FormatError:
        return FormatError(f"{self.file.name}: {what} at byte {position} is no sound protobuf; fetch it again")


def signed(value: int) -> int:
    """Read 64 bits as two's complement."""
    return value - (1 << 64) if value >> 63 else value


class ByteRange(NamedTuple):
    """Bytes of the main file, from start up to end."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start
