"""Walk protobuf messages in a file by byte range and skip long fields without reading them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from filtercrawl.api.errors import FormatError, TruncatedError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile

# Wire types, by their names in the specification; groups (3, 4) are deprecated and rejected.
VARINT: Final = 0
I64: Final = 1
LEN: Final = 2
I32: Final = 5
_WIDTH: Final = {I64: 8, I32: 4}

# Bytes read at a time: few after a skip over the numbers of a tensor, doubled with every sequential read.
MIN_READ_BYTES: Final = 4096
MAX_READ_BYTES: Final = 256 * 1024

# Budget of one walk: a field costs 1, a message that becomes an object `MESSAGE_COST`. A graph of 100,000 nodes takes
# half of it. Without a limit, one gigabyte of two-byte nodes would take a hundred gigabytes of memory.
FIELD_BUDGET: Final = 10_000_000
MESSAGE_COST: Final = 8
MAX_TEXT_BYTES: Final = 4096


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: Field number.
        wire_type: VARINT, I64, LEN or I32.
        value: The value of a VARINT, as unsigned 64-bit integer; 0 for other wire types.
        start: Offset of the payload in the file.
        end: Offset of the byte after the payload.
    """

    number: int
    wire_type: int
    value: int
    start: int
    end: int


class WireReader:
    """Reads protobuf messages from a file through one buffer, within a budget of fields."""

    def __init__(self, file: RandomAccessFile, stop: int | None = None) -> None:
        """Read `file` up to the offset `stop`, by default to its end."""
        self.file = file
        self._stop = file.size if stop is None else stop
        self._buffer = b""
        self._start = 0
        self._read_bytes = MIN_READ_BYTES
        self._remaining_budget = FIELD_BUDGET

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields of the message at bytes [start, end).

        Raises:
            TruncatedError: A field exceeds the file.
            FormatError: A field exceeds its message, or the bytes are not valid protobuf.
            UnsupportedError: The budget of fields is exhausted.
        """
        position = start
        while position < end:
            self._remaining_budget -= 1
            if self._remaining_budget < 0:
                self.charge(0)
            first = position - self._start
            # Most tags and most lengths are one byte that is in the buffer; most of the time is spent here.
            if 0 <= first < len(self._buffer) and (tag := self._buffer[first]) < 0x80:
                payload = position + 1
            else:
                tag, payload = self._varint(position, end)
            number, wire_type = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise self._format_error(position, f"field number {number}")
            if wire_type == VARINT:
                value, position = self._varint(payload, end)
                yield Field(number, wire_type, value, payload, position)
                continue
            if wire_type == LEN:
                first = payload - self._start
                if 0 <= first < len(self._buffer) and payload < end and (length := self._buffer[first]) < 0x80:
                    payload += 1
                else:
                    length, payload = self._varint(payload, end)
            elif wire_type in _WIDTH:
                length = _WIDTH[wire_type]
            else:
                raise self._format_error(position, f"wire type {wire_type}")
            position = payload + length
            if position > end:
                raise self._overrun_error(payload, position, end)
            yield Field(number, wire_type, 0, payload, position)

    def read_integers(self, field: Field) -> Iterator[int]:
        """Yield the signed 64-bit integers of a field: the value of a VARINT, or all of a packed field."""
        if field.wire_type == VARINT:
            yield signed(field.value)
            return
        position = field.start
        while position < field.end:
            self.charge(1)
            value, position = self._varint(position, field.end)
            yield signed(value)

    def read_payload(self, field: Field) -> bytes:
        """Read the payload of a field. Meant for short ones: its length is charged to the budget."""
        length = field.end - field.start
        self.charge(length // 16)
        first = field.start - self._start
        if first < 0 or first + length > len(self._buffer):
            if length > MIN_READ_BYTES:
                return self.file.read(field.start, length)
            self._fill(field.start)
            first = 0
        return self._buffer[first : first + length]

    def read_text(self, field: Field) -> str:
        """Read a string field. Invalid UTF-8 is escaped, so that different names stay different.

        Raises:
            FormatError: It is longer than 4096 bytes.
        """
        if field.end - field.start > MAX_TEXT_BYTES:
            raise self._format_error(field.start, f"a name of {field.end - field.start} bytes")
        return self.read_payload(field).decode("utf-8", "backslashreplace")

    def charge(self, cost: int) -> None:
        """Deduct from the budget of this reader.

        Raises:
            UnsupportedError: The budget is exhausted.
        """
        self._remaining_budget -= cost
        if self._remaining_budget < 0:
            raise UnsupportedError(
                f"{self.file.name}: its graph has more nodes and attributes than the supported maximum"
            )

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """Read a varint: seven bits per byte, least significant first, the high bit set on all but the last byte.

        Args:
            position: Offset of its first byte.
            end: Offset where the message ends.

        Returns:
            The value and the offset of the next byte.
        """
        first = position - self._start
        available = len(self._buffer)
        if 0 <= first < available and position < end and self._buffer[first] < 0x80:
            # Fast path: most varints have one byte, and most of the time is spent here.
            return self._buffer[first], position + 1
        if (first < 0 or first + 10 > available) and (first < 0 or self._start + available < self._stop):
            self._fill(position)
            first, available = 0, len(self._buffer)
        value = 0
        buffer = self._buffer
        last = min(first + 10, available, first + end - position)
        for index in range(first, last):
            byte = buffer[index]
            value |= (byte & 0x7F) << 7 * (index - first)
            if byte < 0x80:
                if value >> 64:
                    break
                return value, self._start + index + 1
        else:
            if last < first + 10:
                raise self._overrun_error(position, position + max(last - first, 0) + 1, end)
        raise self._format_error(position, "a varint of more than 64 bits")

    def _fill(self, position: int) -> None:
        sequential = self._start <= position <= self._start + len(self._buffer)
        self._read_bytes = min(2 * self._read_bytes, MAX_READ_BYTES) if sequential and self._buffer else MIN_READ_BYTES
        length = max(0, min(self._read_bytes, self._stop - position))
        self._buffer = self.file.read(position, length) if length else b""
        self._start = position

    def _overrun_error(self, position: int, stop: int, end: int) -> FormatError:
        name, size = self.file.name, self.file.size
        if stop > size:
            return TruncatedError(
                f"{name}: ends at byte {size}, but a field at byte {position} continues beyond it; fetch it again"
            )
        return FormatError(
            f"{name}: the field at byte {position} exceeds its message, which ends at byte {end}; fetch it again"
        )

    def _format_error(self, position: int, detail: str) -> FormatError:
        return FormatError(f"{self.file.name}: invalid protobuf at byte {position}: {detail}; fetch it again")


def signed(value: int) -> int:
    """Reinterpret an unsigned 64-bit integer as two's complement."""
    return value - (1 << 64) if value >> 63 else value


class ByteRange(NamedTuple):
    """Bytes [start, end) of the file that is being parsed."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.start
