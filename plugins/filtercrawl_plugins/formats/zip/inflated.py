"""A deflated entry of a zip archive as a file, inflated in order and only as far as it is read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from filtercrawl.api.errors import FormatError, TruncatedError
from filtercrawl.api.range_file import Span, check_range
from filtercrawl_plugins.formats.budget import MIB, Budget
from filtercrawl_plugins.formats.zip.entry import CompressedData, ZipEntry, damaged_entry_error

# Entries up to this size are kept whole as far as they are inflated; of longer ones the last piece is.
MAX_WHOLE_BYTES: Final = 16 * MIB
# Bytes read of the archive, and inflated, at a time.
_READ_BYTES: Final = 1 << 18
# Memory of zlib for one stream, and of input that it has not taken.
_STATE_BYTES: Final = (1 << 18) + (1 << 16)
_MIN_PIECE: Final = 1 << 16
_MAX_PIECE: Final = MIB


class InflatedFile:
    """The decompressed bytes of an entry.

    Reading backwards in a long entry starts over, and is paid for again. The CRC-32 is checked when the last byte is
    inflated.
    """

    def __init__(self, compressed: CompressedData, entry: ZipEntry, budget: Budget) -> None:
        self.name = compressed.name
        self.size = entry.size
        self._compressed = compressed
        self._entry = entry
        self._budget = budget
        self.release()

    @property
    def held_bytes(self) -> int:
        """Bytes that are kept: decompressed ones, and the state of zlib until the last of them."""
        return len(self._window) + (0 if self._start + len(self._window) == self.size else _STATE_BYTES)

    def release(self) -> None:
        """Drop what is kept; the next read starts over."""
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._input = b""
        self._taken = 0  # bytes of the archive given to the inflater
        self._crc = 0
        self._window = bytearray()  # what is kept: bytes from `_start` on
        self._start = 0

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`.

        Raises:
            FormatError: The entry is damaged.
            UnsafeFileError: The checkpoint has decompressed more than its budget.
        """
        check_range(self, offset, length)
        if not length:
            return b""
        with self._budget.lock:
            self._budget.hold(self)
            return self._read(offset, offset + length)

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        """Yield all of the compressed bytes, unless what is read is kept."""
        if start < stop and not (self._start <= start and stop <= self._start + len(self._window)):
            yield Span(self._compressed, 0, self._compressed.size)

    def _read(self, offset: int, stop: int) -> bytes:
        if offset < self._start:
            self.release()
        if self.size <= MAX_WHOLE_BYTES:
            while len(self._window) < stop:
                self._window += self._inflate(stop - len(self._window))
            return bytes(memoryview(self._window)[offset:stop])
        pieces = []
        while True:
            piece = bytes(memoryview(self._window)[max(offset - self._start, 0) : stop - self._start])
            if piece:
                pieces.append(piece)
                offset += len(piece)
            if offset == stop:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._start += len(self._window)
            self._window.clear()
            self._window += self._inflate(stop - self._start)

    def _inflate(self, wanted: int) -> bytes:
        """Return the bytes behind those that are inflated, about as many as are wanted."""
        inflated = self._start + len(self._window)
        most = min(max(min(wanted, _MAX_PIECE), _MIN_PIECE), self.size - inflated)
        self._budget.inflate(most)
        try:
            piece = self._decompress(most)
            last = inflated + len(piece) == self.size
            if last and self._decompress(1):
                raise TruncatedError(
                    f"{self.name}: its entry {self._shown} is longer than the {self.size} bytes declared"
                )
        except zlib.error as error:
            raise FormatError(
                f"{self.name}: its entry {self._shown} cannot be inflated ({error}); fetch it again"
            ) from error
        if not piece:
            raise TruncatedError(
                f"{self.name}: its entry {self._shown} decodes to {inflated} bytes, but {self.size} were declared"
            )
        self._crc = zlib.crc32(piece, self._crc)
        if last and self._entry.crc not in (None, self._crc):
            raise damaged_entry_error(self.name, self._entry)
        if last:
            self._inflater, self._input = zlib.decompressobj(-zlib.MAX_WBITS), b""
        return piece

    def _decompress(self, most: int) -> bytes:
        """Return the next bytes of the stream, at most so many; b"" at its end."""
        while True:
            piece = self._inflater.decompress(self._input, most)
            self._input = self._inflater.unconsumed_tail
            left = self._compressed.size - self._taken
            if piece or self._inflater.eof or (not left and not self._input):
                return piece
            if not self._input:
                self._input = self._compressed.read(self._taken, min(_READ_BYTES, left))
                self._taken += len(self._input)

    @property
    def _shown(self) -> str:
        return repr(self._entry.name[:80])
