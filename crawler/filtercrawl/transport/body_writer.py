"""Write the body of one response into the cache, in chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from filtercrawl.transport.cache_entry import CacheEntry

# Each request in progress holds up to this many bytes in memory before they are written to the cache.
_WRITE_BYTES: Final = 1024 * 1024


class BodyWriter:
    """Writes one response body into the cache, in chunks.

    Attributes:
        start: Offset in the file of the first byte.
        size: Bytes received so far.
    """

    def __init__(self, start: int, on_chunk: Callable[[], None] = lambda: None) -> None:
        """Create a writer without a target.

        Args:
            start: Offset in the file of the first byte.
            on_chunk: Called whenever a chunk can be read from the cache.
        """
        self.start = start
        self.size = 0
        self._on_chunk = on_chunk
        self._entry: CacheEntry | None = None
        self._buffer = bytearray()
        self._written = 0

    def set_target(self, entry: CacheEntry) -> None:
        """Set the cache entry, which the first response determines; call it before `write`."""
        self._entry = entry

    def write(self, data: bytes) -> None:
        """Add bytes; they are written to the cache a MiB at a time."""
        self._buffer += data
        self.size += len(data)
        if len(self._buffer) >= _WRITE_BYTES:
            self._write_chunk()

    def drop(self) -> None:
        """Remove everything that was written, from the cache too."""
        if self._entry is not None:
            self._entry.invalidate(self.start, self.start + self.size)
        self._buffer.clear()
        self.size = 0

    def flush(self) -> int:
        """Write what is buffered; return how many bytes were written to the cache since the last flush."""
        if self._buffer:
            self._write_chunk()
        written, self._written = self._written, 0
        return written

    def _write_chunk(self) -> None:
        assert self._entry is not None
        self._entry.add(self.start + self.size - len(self._buffer), bytes(self._buffer))
        self._written += len(self._buffer)
        self._buffer.clear()
        self._on_chunk()
