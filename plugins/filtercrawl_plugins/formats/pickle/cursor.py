"""Sequential, buffered reads from a byte range of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filtercrawl.api.errors import FormatError, TruncatedError

if TYPE_CHECKING:
    from filtercrawl.api.range_file import RandomAccessFile

BUFFER_BYTES: Final = 65_536
MAX_LINE_BYTES: Final = 1_048_576


class Cursor:
    """A read position in bytes [start, stop) of a file.

    Every method raises TruncatedError if the range ends too early, before any memory is allocated.
    """

    def __init__(
        self, file: RandomAccessFile, start: int = 0, stop: int | None = None, content: str = "a pickle"
    ) -> None:
        """Start at offset `start`; `stop` defaults to the end of the file, `content` names the data in messages."""
        self.file = file
        self._content = content
        self.stop = file.size if stop is None else stop
        self._buffer = b""
        self._buffer_start = start
        self._index = 0

    @property
    def position(self) -> int:
        """Offset of the next byte in the file."""
        return self._buffer_start + self._index

    @property
    def remaining(self) -> int:
        """Number of bytes up to `stop`."""
        return self.stop - self.position

    def read_byte(self) -> int:
        """Read one byte as an integer."""
        if self._index == len(self._buffer):
            self._fill(1)
        self._index += 1
        return self._buffer[self._index - 1]

    def read(self, length: int) -> bytes:
        """Read exactly `length` bytes."""
        if self._index + length > len(self._buffer):
            self._fill(length)
        self._index += length
        return self._buffer[self._index - length : self._index]

    def skip(self, length: int) -> None:
        """Move over `length` bytes without reading those that are not buffered."""
        if length > self.remaining:
            raise TruncatedError(f"{self.file.name}: ends in the middle of {self._content}; fetch it again")
        if self._index + length <= len(self._buffer):
            self._index += length
        else:
            self._buffer_start, self._buffer, self._index = self.position + length, b"", 0

    def read_line(self) -> bytes:
        r"""Read up to the next `\n`, which is consumed but not returned.

        Raises:
            FormatError: The line is longer than 1 MiB.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", self._index + searched)) < 0:
            searched = len(self._buffer) - self._index
            if searched > MAX_LINE_BYTES:
                raise FormatError(f"{self.file.name}: the pickle contains a line of more than {MAX_LINE_BYTES} bytes")
            self._fill(searched + 1)
        line = self._buffer[self._index : end]
        self._index = end + 1
        return line

    def _fill(self, length: int) -> None:
        """Refill the buffer so that it holds at least `length` bytes from the current position."""
        if length > self.remaining:
            raise TruncatedError(f"{self.file.name}: ends in the middle of {self._content}; fetch it again")
        start = self.position
        self._buffer = self.file.read(start, min(length + BUFFER_BYTES, self.stop - start))
        self._buffer_start, self._index = start, 0
