"""Big-endian numbers, as the little-endian ones that locations have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from filtercrawl.api.range_file import RandomAccessFile, Span, check_range
from filtercrawl.api.tensor_location import TensorLocation


def little_endian(stored: TensorLocation) -> TensorLocation:
    """Return the location of numbers that are stored big-endian, as if they were little-endian."""
    number = stored.itemsize // 2 if stored.dtype.startswith("complex") else stored.itemsize
    span = stored.byte_span
    return replace(stored, file=BigEndianNumbers(stored.file, span.start, span.stop - span.start, number), offset=0)


class BigEndianNumbers:
    """A part of another file in which the bytes of each number are reversed."""

    def __init__(self, file: RandomAccessFile, start: int, size: int, itemsize: int) -> None:
        """Describe the part; raises TruncatedError if the file is shorter.

        Args:
            file: The file with big-endian numbers.
            start: Offset of the first number in bytes.
            size: Length of all numbers in bytes, a multiple of `itemsize`.
            itemsize: Bytes of a number; a complex one is two numbers.
        """
        check_range(file, start, size)
        self.name = file.name
        self.size = size
        self._file = file
        self._start = start
        self._itemsize = itemsize

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the little-endian numbers; raises TruncatedError."""
        check_range(self, offset, length)
        first, last = self._whole(offset, offset + length)
        stored = np.frombuffer(self._file.read(self._start + first, last - first), np.uint8)
        return stored.reshape(-1, self._itemsize)[:, ::-1].tobytes()[offset - first : offset - first + length]

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        """Yield the bytes of the numbers that have bytes from `start` to `stop`."""
        first, last = self._whole(start, stop)
        yield Span(self._file, self._start + first, self._start + last)

    def _whole(self, start: int, stop: int) -> tuple[int, int]:
        """Extend a range to whole numbers."""
        return start - start % self._itemsize, stop + -stop % self._itemsize
