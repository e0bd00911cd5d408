"""What asking a host costs: the latency and the bandwidth that its answers were measured to have."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

# Bytes that are not worth a request on any network: they take less time than one takes to make.
MIN_GAP: Final = 64 * 1024
MAX_GAP: Final = 16 * 1024 * 1024
# A sample of bandwidth is taken over so many bytes: less is told by buffers, not by the network.
_SAMPLE: Final = 2 * 1024 * 1024
_REMEMBERED: Final = 15
# Seconds of this machine's own time that a request takes: on a fast link it is what requests cost.
_OWN: Final = 0.001


@dataclass(frozen=True, kw_only=True)
class LinkEstimate:
    """What a request and a byte cost.

    latency: seconds from a request to its answer. bandwidth: bytes a second, of all connections together.
    max_concurrent:
    requests that may be under way; sharers: those that are, and share the bandwidth. spacing: seconds that the host's
    rate limit keeps two requests apart. fixed_gap: joins ranges by this many bytes and no more, and never takes a file
    as a whole; None for what pays.
    """

    latency: float = 0.05
    bandwidth: float = 32e6
    max_concurrent: int = 16
    n_streams: int = 1
    spacing: float = 0.0
    fixed_gap: int | None = None

    @property
    def request_cost_s(self) -> float:
        """Seconds that one request more costs while others are under way."""
        return max(self.latency / self.max_concurrent, self.spacing, _OWN)

    @property
    def round_trip_s(self) -> float:
        """Seconds to wait for an answer without which nothing else can be asked."""
        return max(self.latency, self.spacing)

    @property
    def bandwidth_per_stream(self) -> float:
        """Bytes a second that one connection gets while the others have theirs."""
        return self.bandwidth / max(self.n_streams, 1)

    @property
    def gap(self) -> int:
        """Bytes that come in the time of one request more."""
        if self.fixed_gap is not None:
            return self.fixed_gap
        return min(max(int(self.request_cost_s * self.bandwidth), MIN_GAP), MAX_GAP)

    def seconds(self, requests: int, number: int) -> float:
        """Return the time that so many independent requests for so many bytes take together."""
        rounds = -(-requests // self.max_concurrent)
        return max(rounds * self.latency, requests * self.spacing) + number / self.bandwidth


class LinkMeter:
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

    def on_request(self) -> None:
        """A request is sent."""
        with self._lock:
            self._asking += 1

    def on_error(self) -> None:
        """A request has no answer."""
        with self._lock:
            self._asking -= 1

    def on_response_start(self, seconds: float, now: float) -> None:
        """An answer has begun to come, so many seconds after its request."""
        with self._lock:
            self._latencies.append(seconds)
            self._advance(now)
            self._under_way += 1

    def on_bytes(self, number: int, now: float) -> None:
        """Bytes of a body came."""
        with self._lock:
            self._advance(now)
            self._came += number
            if self._came >= _SAMPLE and self._busy > 0:
                sample = self._came / self._busy
                before = self._bandwidth
                self._bandwidth = sample if before is None else before + 0.3 * (sample - before)
                self._came, self._busy = 0, 0.0

    def on_response_end(self, now: float) -> None:
        """An answer has ended."""
        with self._lock:
            self._advance(now)
            self._under_way -= 1
            self._asking -= 1

    def estimate(self, at_a_time: int, spacing: float, fixed_gap: int | None) -> LinkEstimate:
        """Return what was measured; what was not yet is guessed."""
        with self._lock:
            return LinkEstimate(
                latency=median(self._latencies) if self._latencies else LinkEstimate.latency,
                bandwidth=self._bandwidth or LinkEstimate.bandwidth,
                max_concurrent=at_a_time,
                n_streams=max(self._asking, 1),
                spacing=spacing,
                fixed_gap=fixed_gap,
            )

    def _advance(self, now: float) -> None:
        # Only time in which bodies were under way counts: a host that is not asked is not slow.
        if self._under_way:
            self._busy += now - self._since
        self._since = now
