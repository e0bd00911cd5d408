"""Decodes long runs of protobuf varints, piece by piece."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.protobuf.wire import ByteRange

# Bytes decoded at a time: what numpy needs beside the result is some thirty times this.
CHUNK_BYTES: Final = 1 << 20


def decode_varints(file: RandomAccessFile, span: ByteRange, out: NDArray[np.generic]) -> int:
    """Decode the varints in `span` into `out`, 1-D, of an unsigned type or bool; return how many there were.

    Negative numbers stand as 64-bit two's complement and are cut to the type's width. Raises FormatError
    where there are more than `out` holds, or where one is broken.
    """
    done = 0
    position = span.start
    while position < span.end:
        data = np.frombuffer(file.read(position, min(CHUNK_BYTES, span.end - position)), np.uint8)
        ends = np.flatnonzero(data < 0x80) + 1
        if not ends.size or done + ends.size > out.size:
            raise FormatError(f"{file.name}: the numbers at byte {span.start} do not fit their shape; fetch it again")
        values = _decode(data, ends)
        if values is None:
            raise FormatError(f"{file.name}: a number of more than 64 bits near byte {position}; fetch it again")
        # Zero is false, anything else true; a narrower integer keeps the low bits.
        out[done : done + ends.size] = values.astype(out.dtype)
        done += ends.size
        position += int(ends[-1])
    return done


def _decode(data: NDArray[np.uint8], ends: NDArray[np.intp]) -> NDArray[np.uint64] | None:
    starts = np.concatenate([[0], ends[:-1]])
    lengths = ends - starts
    longest = int(lengths.max())
    if longest > 10:
        return None
    values = np.zeros(ends.size, np.uint64)
    for i in range(longest):
        at = np.flatnonzero(lengths > i)
        values[at] |= (data[starts[at] + i] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * i)
    return values
