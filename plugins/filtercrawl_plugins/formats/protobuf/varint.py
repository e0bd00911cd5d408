"""Decode packed fields of many varints with NumPy, in chunks."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.protobuf.wire import ByteRange

# Bytes decoded at a time; the temporary arrays take about thirty times as much memory.
CHUNK_BYTES: Final = 1 << 20


def decode_varints(file: RandomAccessFile, span: ByteRange, out: NDArray[np.generic]) -> int:
    """Decode the varints of a packed field.

    Args:
        file: The file that contains the field.
        span: Payload of the field: bytes [start, end).
        out: Destination, 1-D, of an unsigned integer type or bool. Values are truncated to its width; negative
            numbers are encoded as 64-bit two's complement.

    Returns:
        The number of varints.

    Raises:
        FormatError: There are more varints than `out` has elements, one is incomplete, or one exceeds 64 bits.
    """
    count = 0
    position = span.start
    while position < span.end:
        data = np.frombuffer(file.read(position, min(CHUNK_BYTES, span.end - position)), np.uint8)
        ends = np.flatnonzero(data < 0x80) + 1
        if not ends.size or count + ends.size > out.size:
            raise FormatError(
                f"{file.name}: the numbers at byte {span.start} do not match the tensor's shape; fetch it again"
            )
        values = _decode(data, ends)
        if values is None:
            raise FormatError(f"{file.name}: a varint of more than 64 bits near byte {position}; fetch it again")
        # astype: for bool any nonzero value is True; a narrower integer keeps the low bits.
        out[count : count + ends.size] = values.astype(out.dtype)
        count += ends.size
        position += int(ends[-1])
    return count


def count_varints(file: RandomAccessFile, span: ByteRange) -> int:
    """Return the number of varints of a packed field."""
    count = 0
    for position in range(span.start, span.end, CHUNK_BYTES):
        data = np.frombuffer(file.read(position, min(CHUNK_BYTES, span.end - position)), np.uint8)
        count += int(np.count_nonzero(data < 0x80))
    return count


def _decode(data: NDArray[np.uint8], ends: NDArray[np.intp]) -> NDArray[np.uint64] | None:
    """Decode the varints that end before the offsets `ends`; None if one has more than ten bytes."""
    starts = np.concatenate([[0], ends[:-1]])
    lengths = ends - starts
    longest = int(lengths.max())
    if longest > 10:
        return None
    values = np.zeros(ends.size, np.uint64)
    for i in range(longest):
        longer = np.flatnonzero(lengths > i)
        values[longer] |= (data[starts[longer] + i] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * i)
    return values
