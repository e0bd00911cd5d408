"""Reads a stretch of a file from its start to its end, a buffer at a time."""

from __future__ import annotations

from filtercrawl.api.errors import FormatError, TruncatedError
from filtercrawl.api.range_file import RandomAccessFile

CHUNK = 65_536
LINE = 1_048_576


class Cursor:
    """A position in bytes [start, stop) of a file; stop defaults to the file's end.

    Every method raises TruncatedError where the stretch ends too early, before any memory is taken.
    """

    def __init__(self, file: RandomAccessFile, start: int = 0, stop: int | None = None) -> None:
        self.file = file
        self.stop = file.size if stop is None else stop
        self._base = start
        self._buffer = b""
        self._at = 0

    @property
    def position(self) -> int:
        """Offset in the file of the next byte."""
        return self._base + self._at

    @property
    def remaining(self) -> int:
        """Bytes to the end of the stretch."""
        return self.stop - self.position

    def read_byte(self) -> int:
        if self._at == len(self._buffer):
            self._fill(1)
        self._at += 1
        return self._buffer[self._at - 1]

    def read(self, length: int) -> bytes:
        if self._at + length > len(self._buffer):
            self._fill(length)
        self._at += length
        return self._buffer[self._at - length : self._at]

    def read_line(self) -> bytes:
        """Take the bytes up to a newline, which is taken too and left out; raises FormatError past 1 MiB."""
        searched = 0
        while (end := self._buffer.find(b"\n", self._at + searched)) < 0:
            searched = len(self._buffer) - self._at
            if searched > LINE:
                raise FormatError(f"{self.file.name}: a line of the pickle is longer than {LINE} bytes")
            self._fill(searched + 1)
        line = self._buffer[self._at : end]
        self._at = end + 1
        return line

    def _fill(self, length: int) -> None:
        """Have at least `length` bytes in the buffer from the position on."""
        if length > self.remaining:
            raise TruncatedError(f"{self.file.name}: ends in the middle of a pickle; fetch it again")
        start = self.position
        self._buffer = self.file.read(start, min(length + CHUNK, self.stop - start))
        self._base, self._at = start, 0
