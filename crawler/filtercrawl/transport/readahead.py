"""How far to read ahead of a reader that finds its way through a file step by step."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.transport.link_model import LinkEstimate

_LEAST: Final = 4 * 1024
_FIRST: Final = 64 * 1024
_ONWARD: Final = 1024 * 1024
_MOST: Final = 8 * 1024 * 1024
# Reads in order fetch ahead up to what comes in so many trips: longer ones would hardly save time.
_TRIPS: Final = 4
# The share of a whole download that may be spent on finding out whether jumping over tensors pays.
_TRIAL: Final = 0.1


class ActiveReaders:
    """Who is on the way through a file at present: they share the bandwidth, though each is mostly waiting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[int] = set()

    def add(self, walker: object) -> None:
        with self._lock:
            self._ids.add(id(walker))

    def remove(self, walker: object) -> None:
        with self._lock:
            self._ids.discard(id(walker))

    def shared_link(self, link: LinkEstimate) -> LinkEstimate:
        """Return a link as it looks with all of them on it."""
        return replace(link, n_streams=max(link.n_streams, len(self._ids)))


@dataclass
class ReadAhead:
    """The way of one reader through one file of `size` bytes.

    Each step waits for the one before, so that it costs a whole trip. Reads in order fetch ahead, twice as much each
    time; a jump begins anew with little. Where the jumps turn out to be too short to be worth their trips, or are too
    many, or nothing could be gained by any, all that follows is taken at once.
    """

    size: int
    _end: int = 0
    _ahead: int = 0
    _jumps: int = 0
    _from: int = 0
    _expected: int = 0
    _wanted: float = 0.0

    def hint_seeks(self, jumps: int, wanted: float = 0.0) -> None:
        """Learn how many jumps are about to follow, and which share of what they pass over is read afterwards."""
        self._expected = self._jumps + jumps
        self._wanted = wanted

    def next_end(self, start: int, stop: int, link: LinkEstimate) -> int:
        """Return where to stop fetching so that bytes `start` to `stop`, the first of which is missing, are there."""
        first = self._ahead == 0
        a_trip = int(link.round_trip_s * link.bandwidth)
        if first:
            self._ahead = _FIRST
        elif self._end <= start <= self._end + _LEAST:
            # What comes in half of the trip that it saves is worth reading, whether it is needed or not.
            more = max(2 * self._ahead, int(link.round_trip_s * link.bandwidth_per_stream) // 2)
            self._ahead = min(more, max(_TRIPS * a_trip, _ONWARD), _MOST)
        else:
            self._ahead = min(max(a_trip // 32, _LEAST), _FIRST)
            self._from = self._from or self._end
            self._jumps += 1
        self._end = min(max(stop, start + self._ahead), self.size)
        if not first and start > self._from and self._is_too_slow(start, link):
            self._end = self.size
        return self._end

    def _is_too_slow(self, at: int, link: LinkEstimate) -> bool:
        """Tell whether reading on to the end costs less than jumping as so far."""
        if link.fixed_gap is not None:
            return False
        rest = link.round_trip_s + (self.size - at) / link.bandwidth_per_stream
        if self._expected >= self._jumps > 0:
            return (1 - self._wanted) * rest < (self._expected - self._jumps + 1) * link.round_trip_s
        if (self._jumps + 1) * link.round_trip_s <= _TRIAL * (
            link.round_trip_s + self.size / link.bandwidth_per_stream
        ):
            return False
        if not self._jumps:
            return rest < 2 * link.round_trip_s
        return rest < (self.size - at) / max(at - self._from, 1) * self._jumps * link.round_trip_s
