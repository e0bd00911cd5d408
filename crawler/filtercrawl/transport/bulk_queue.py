"""Whose turn it is to fetch much: few files at a time, so that one is here before the last has begun."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

# Files that fill a link together. All that are in hand would end at the same time, and then nobody fetched while the
# structure of the next ones is read.
MAX_CONCURRENT_FILES: Final = 4


class BulkQueue:
    """Starts so many at a time, first come, first served. Thread-safe; calls `start` without holding a lock."""

    def __init__(self, at_a_time: int = MAX_CONCURRENT_FILES) -> None:
        self._free = at_a_time
        self._waiting: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()

    def submit(self, start: Callable[[], None]) -> None:
        """Call `start` now, or when a turn is given back; whoever was started gives one back."""
        with self._lock:
            if self._free == 0:
                self._waiting.append(start)
                return
            self._free -= 1
        start()

    def release(self) -> None:
        """Give a turn back; whoever waits longest has it."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            start = self._waiting.popleft()
        start()
