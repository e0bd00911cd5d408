"""Walk protobuf messages in a file by byte range and skip long fields without reading them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final, NamedTuple

from filtercrawl.api.errors import FormatError, TruncatedError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.budget import Budget

# Wire types, by their names in the specification; groups (3, 4) are deprecated and rejected.
VARINT: Final = 0
I64: Final = 1
LEN: Final = 2
I32: Final = 5
_WIDTH: Final = {I64: 8, I32: 4}

# Bytes read at a time: few after a skip over the numbers of a tensor, doubled with every sequential read.
MIN_READ_BYTES: Final = 4096
MAX_READ_BYTES: Final = 256 * 1024

# Steps of a field, of one that nothing is known of, and of a message that becomes an object. Without a limit, one
# gigabyte of two-byte nodes would take a hundred gigabytes of memory.
FIELD_COST: Final = 4
UNKNOWN_COST: Final = 8
MESSAGE_COST: Final = 32
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
    """Reads protobuf messages from a file through one buffer, within a budget.

    Attributes:
        file: The file.
        charge: Charges steps to the budget of the checkpoint; raises UnsafeFileError if none are left.
    """

    def __init__(self, file: RandomAccessFile, budget: Budget, stop: int | None = None) -> None:
        """Read `file` up to the offset `stop`, by default to its end."""
        self.file = file
        self.charge = budget.spend
        self._budget = budget
        self._stop = file.size if stop is None else stop
        self._buffer = b""
        self._start = 0
        self._read_bytes = MIN_READ_BYTES

    def fields(  # noqa: C901 - most of the time of parsing is spent here, and calls take longer
        self, start: int, end: int, known: Container[int] | None = None, wanted: Container[int] | None = None
    ) -> Iterator[Field]:
        """Yield the fields of the message at bytes [start, end).

        Args:
            start: Offset of the message.
            end: Offset of the byte after it.
            known: Numbers of the fields of the message; others are not yielded, and cost more. None for all.
            wanted: Numbers of the known LEN fields to yield; None for all.

        Raises:
            TruncatedError: A field exceeds the file.
            FormatError: A field exceeds its message, or the bytes are not valid protobuf.
            UnsafeFileError: The budget is exhausted.
        """
        position = start
        budget = self._budget
        while position < end:
            budget.steps -= FIELD_COST
            if budget.steps < 0:
                raise budget.exceeded("steps")
            first, buffer = position - self._start, self._buffer
            # Most tags and most lengths are one byte that is in the buffer.
            if 0 <= first < len(buffer) - 1 and (tag := buffer[first]) < 0x80 and position + 1 < end:
                number, wire_type = tag >> 3, tag & 7
                if wire_type == LEN and number and (length := buffer[first + 1]) < 0x80:
                    payload = position + 2
                    position = payload + length
                    if position > end:
                        raise self._overrun_error(payload, position, end)
                    if known is not None and number not in known:
                        self.charge(UNKNOWN_COST)
                    elif wanted is None or number in wanted:
                        yield Field(number, LEN, 0, payload, position)
                    continue
                payload = position + 1
            else:
                tag, payload = self._varint(position, end)
                number, wire_type = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise self._format_error(position, f"field number {number}")
            is_known = known is None or number in known
            if not is_known:
                self.charge(UNKNOWN_COST)
            value = 0
            if wire_type == VARINT:
                value, position = self._varint(payload, end)
            else:
                if wire_type == LEN:
                    length, payload = self._varint(payload, end)
                elif wire_type in _WIDTH:
                    length = _WIDTH[wire_type]
                else:
                    raise self._format_error(position, f"wire type {wire_type}")
                position = payload + length
                if position > end:
                    raise self._overrun_error(payload, position, end)
            if is_known and (wire_type != LEN or wanted is None or number in wanted):
                yield Field(number, wire_type, value, payload, position)

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
        if length >= 16:
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
