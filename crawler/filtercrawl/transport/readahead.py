"""Read-ahead for a reader that parses a file step by step, such as a pickle or an ONNX graph."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.transport.link_estimate import LinkEstimate

_MIN_BYTES: Final = 4 * 1024
_FIRST_BYTES: Final = 64 * 1024
_SEQUENTIAL_BYTES: Final = 1024 * 1024
_MAX_BYTES: Final = 8 * 1024 * 1024
# Sequential reads fetch ahead up to what arrives in this many round trips: more would hardly save time.
_MAX_ROUND_TRIPS: Final = 4
# Share of the time of a whole download that may be spent to find out whether seeking is faster.
_TRIAL_SHARE: Final = 0.1


class ActiveReaders:
    """Registry of files being read step by step; the estimated bandwidth is divided among them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[int] = set()

    def add(self, reader: object) -> None:
        """Register a file."""
        with self._lock:
            self._ids.add(id(reader))

    def remove(self, reader: object) -> None:
        """Unregister a file; do nothing if it is not registered."""
        with self._lock:
            self._ids.discard(id(reader))

    def shared_link(self, link: LinkEstimate) -> LinkEstimate:
        """Return an estimate in which every registered file has a stream, though most are waiting at any moment."""
        return replace(link, n_streams=max(link.n_streams, len(self._ids)))


@dataclass
class ReadAhead:
    """Decides how far to read ahead in one file.

    Each step depends on the one before and costs a round trip. Sequential reads fetch ahead, twice as much each time; a
    seek starts again with little. The rest of the file is fetched at once where seeks are too short to be worth their
    round trips, too many, or could save nothing.

    Attributes:
        size: Length of the file in bytes.
    """

    size: int
    _end: int = 0  # of what was fetched last
    _ahead_bytes: int = 0
    _n_seeks: int = 0
    _first_seek: int = 0  # where sequential reading ended
    _expected_seeks: int = 0
    _reread: float = 0.0

    def hint_seeks(self, n_seeks: int, reread: float = 0.0) -> None:
        """Take over an estimate of the seeks that follow.

        Args:
            n_seeks: Long stretches that will be skipped from here on.
            reread: Share of their bytes, 0 to 1, that will be read afterwards.
        """
        self._expected_seeks = self._n_seeks + n_seeks
        self._reread = reread

    def next_end(self, start: int, stop: int, link: LinkEstimate) -> int:
        """Return where to end the next fetch.

        Args:
            start: First missing byte.
            stop: End of the bytes that are read, exclusive.
            link: Latency and bandwidth of the host.
        """
        is_first = self._ahead_bytes == 0
        round_trip_bytes = int(link.round_trip_s * link.bandwidth)
        if is_first:
            self._ahead_bytes = _FIRST_BYTES
        elif self._end <= start <= self._end + _MIN_BYTES:
            # What arrives in half of the round trip that it saves is worth fetching, whether it is needed or not.
            ahead = max(2 * self._ahead_bytes, int(link.round_trip_s * link.bandwidth_per_stream) // 2)
            self._ahead_bytes = min(ahead, max(_MAX_ROUND_TRIPS * round_trip_bytes, _SEQUENTIAL_BYTES), _MAX_BYTES)
        else:
            self._ahead_bytes = min(max(round_trip_bytes // 32, _MIN_BYTES), _FIRST_BYTES)
            self._first_seek = self._first_seek or self._end
            self._n_seeks += 1
        self._end = min(max(stop, start + self._ahead_bytes), self.size)
        if not is_first and start > self._first_seek and self._is_seeking_slower(start, link):
            self._end = self.size
        return self._end

    def _is_seeking_slower(self, position: int, link: LinkEstimate) -> bool:
        """Tell whether fetching the rest of the file takes less time than seeking as so far."""
        if link.fixed_gap is not None:
            return False
        rest_s = link.round_trip_s + (self.size - position) / link.bandwidth_per_stream
        if self._expected_seeks >= self._n_seeks > 0:
            return (1 - self._reread) * rest_s < (self._expected_seeks - self._n_seeks + 1) * link.round_trip_s
        whole_s = link.round_trip_s + self.size / link.bandwidth_per_stream
        if (self._n_seeks + 1) * link.round_trip_s <= _TRIAL_SHARE * whole_s:
            return False
        if not self._n_seeks:
            return rest_s < 2 * link.round_trip_s
        bytes_per_seek = max(position - self._first_seek, 1) / self._n_seeks
        return rest_s < (self.size - position) / bytes_per_seek * link.round_trip_s
