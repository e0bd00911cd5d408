"""What asking a host costs: the latency and the bandwidth that its answers were measured to have."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

# Bytes that are not worth a request on any network: they take less time than one takes to make.
LEAST_GAP: Final = 64 * 1024
MOST_GAP: Final = 16 * 1024 * 1024
# A sample of bandwidth is taken over so many bytes: less is told by buffers, not by the network.
_SAMPLE: Final = 2 * 1024 * 1024
_REMEMBERED: Final = 15
# Seconds of this machine's own time that a request takes: on a fast link it is what requests cost.
_OWN: Final = 0.001


@dataclass(frozen=True, kw_only=True)
class Link:
    """What a request and a byte cost.

    latency: seconds from a request to its answer. bandwidth: bytes a second, of all connections together. at_a_time:
    requests that may be under way; sharers: those that are, and share the bandwidth. spacing: seconds that the host's
    rate limit keeps two requests apart. fixed_gap: joins ranges by this many bytes and no more, and never takes a file
    as a whole; None for what pays.
    """

    latency: float = 0.05
    bandwidth: float = 32e6
    at_a_time: int = 16
    sharers: int = 1
    spacing: float = 0.0
    fixed_gap: int | None = None

    @property
    def a_request(self) -> float:
        """Seconds that one request more costs while others are under way."""
        return max(self.latency / self.at_a_time, self.spacing, _OWN)

    @property
    def a_trip(self) -> float:
        """Seconds to wait for an answer without which nothing else can be asked."""
        return max(self.latency, self.spacing)

    @property
    def a_share(self) -> float:
        """Bytes a second that one connection gets while the others have theirs."""
        return self.bandwidth / max(self.sharers, 1)

    @property
    def gap(self) -> int:
        """Bytes that come in the time of one request more."""
        if self.fixed_gap is not None:
            return self.fixed_gap
        return min(max(int(self.a_request * self.bandwidth), LEAST_GAP), MOST_GAP)

    def seconds(self, requests: int, number: int) -> float:
        """Return the time that so many independent requests for so many bytes take together."""
        rounds = -(-requests // self.at_a_time)
        return max(rounds * self.latency, requests * self.spacing) + number / self.bandwidth


class Gauge:
    """Measures one host while it answers. Thread-safe; times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._bandwidth: float | None = None
        self._asking = 0
        self._under_way = 0
        self._since = 0.0
        self._busy = 0.0
        self._came = 0

    def ask(self) -> None:
        """A request is sent."""
        with self._lock:
            self._asking += 1

    def fail(self) -> None:
        """A request has no answer."""
        with self._lock:
            self._asking -= 1

    def begin(self, seconds: float, now: float) -> None:
        """An answer has begun to come, so many seconds after its request."""
        with self._lock:
            self._latencies.append(seconds)
            self._advance(now)
            self._under_way += 1

    def came(self, number: int, now: float) -> None:
        """Bytes of a body came."""
        with self._lock:
            self._advance(now)
            self._came += number
            if self._came >= _SAMPLE and self._busy > 0:
                sample = self._came / self._busy
                before = self._bandwidth
                self._bandwidth = sample if before is None else before + 0.3 * (sample - before)
                self._came, self._busy = 0, 0.0

    def end(self, now: float) -> None:
        """An answer has ended."""
        with self._lock:
            self._advance(now)
            self._under_way -= 1
            self._asking -= 1

    def link(self, at_a_time: int, spacing: float, fixed_gap: int | None) -> Link:
        """Return what was measured; what was not yet is guessed."""
        with self._lock:
            return Link(
                latency=median(self._latencies) if self._latencies else Link.latency,
                bandwidth=self._bandwidth or Link.bandwidth,
                at_a_time=at_a_time,
                sharers=max(self._asking, 1),
                spacing=spacing,
                fixed_gap=fixed_gap,
            )

    def _advance(self, now: float) -> None:
        # Only time in which bodies were under way counts: a host that is not asked is not slow.
        if self._under_way:
            self._busy += now - self._since
        self._since = now
