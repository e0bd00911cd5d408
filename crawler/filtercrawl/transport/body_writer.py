"""Where the body of one answer goes: into the cache, a MiB at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from filtercrawl.transport.cache_entry import CacheEntry

# Each of the requests under way holds one in memory.
_CHUNK_BYTES: Final = 1024 * 1024


class BodyWriter:
    """Takes bytes from `start` on; size: how many have come. kept: called whenever some of them can be read."""

    def __init__(self, start: int, kept: Callable[[], None] = lambda: None) -> None:
        self.start = start
        self.size = 0
        self._kept = kept
        self._pieces: CacheEntry | None = None
        self._waiting = bytearray()
        self._written = 0

    def set_target(self, pieces: CacheEntry) -> None:
        """Say where the bytes are kept, which the first answer tells."""
        self._pieces = pieces

    def write(self, data: bytes) -> None:
        self._waiting += data
        self.size += len(data)
        if len(self._waiting) >= _CHUNK_BYTES:
            self._keep()

    def restart(self) -> None:
        """Forget what came."""
        if self._pieces is not None:
            self._pieces.invalidate(self.start, self.start + self.size)
        self._waiting.clear()
        self.size = 0

    def flush(self) -> int:
        """Keep what came; returns how many bytes were kept since the last time."""
        if self._waiting:
            self._keep()
        written, self._written = self._written, 0
        return written

    def _keep(self) -> None:
        assert self._pieces is not None
        self._pieces.add(self.start + self.size - len(self._waiting), bytes(self._waiting))
        self._written += len(self._waiting)
        self._waiting.clear()
        self._kept()
