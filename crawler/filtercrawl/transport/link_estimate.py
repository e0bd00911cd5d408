"""Latency and bandwidth of a host, measured from its responses: what a request and a byte cost."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

# Fewer bytes are not worth a request on any network: they take less time than a request.
MIN_GAP: Final = 64 * 1024
MAX_GAP: Final = 16 * 1024 * 1024
# Bytes of one sample of the bandwidth: fewer would measure buffers rather than the network.
_SAMPLE_BYTES: Final = 2 * 1024 * 1024
# Weight of a new sample in the moving average of the bandwidth.
_SAMPLE_WEIGHT: Final = 0.3
# The latency is the median of this many last responses.
_N_LATENCIES: Final = 15
# Seconds of CPU time of one request on this machine, which dominate on a fast link.
_OWN_COST_SECONDS: Final = 0.001


@dataclass(frozen=True, kw_only=True)
class LinkEstimate:
    """Cost of a request and of a byte.

    Attributes:
        latency: Seconds from a request to the headers of its response.
        bandwidth: Bytes a second, of all connections together.
        max_concurrent: Requests that may be in progress.
        n_streams: Requests that are in progress and share the bandwidth.
        spacing: Seconds between two requests that the host's rate limit requires.
        fixed_gap: Bytes across which ranges are coalesced, without ever fetching a whole file; None to derive it.
    """

    latency: float = 0.05
    bandwidth: float = 32e6
    max_concurrent: int = 16
    n_streams: int = 1
    spacing: float = 0.0
    fixed_gap: int | None = None

    @property
    def request_cost_s(self) -> float:
        """Seconds that one more request costs while others are in progress."""
        return max(self.latency / self.max_concurrent, self.spacing, _OWN_COST_SECONDS)

    @property
    def round_trip_s(self) -> float:
        """Seconds to wait for a response on which the next request depends."""
        return max(self.latency, self.spacing)

    @property
    def bandwidth_per_stream(self) -> float:
        """Bytes a second of one connection while the others are in use."""
        return self.bandwidth / max(self.n_streams, 1)

    @property
    def gap(self) -> int:
        """Bytes that arrive in the time that one more request costs: ranges closer together are coalesced."""
        if self.fixed_gap is not None:
            return self.fixed_gap
        return min(max(int(self.request_cost_s * self.bandwidth), MIN_GAP), MAX_GAP)

    def seconds(self, n_requests: int, n_bytes: int) -> float:
        """Return the time in seconds that independent requests take together."""
        rounds = -(-n_requests // self.max_concurrent)
        return max(rounds * self.latency, n_requests * self.spacing) + n_bytes / self.bandwidth


class LinkMeter:
    """Measures one host while it responds. Thread-safe. All times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=_N_LATENCIES)
        self._bandwidth: float | None = None
        self._n_requests = 0
        self._n_bodies = 0
        self._updated = 0.0
        self._sample_seconds = 0.0
        self._sample_bytes = 0

    def on_request(self) -> None:
        """Count a request that is sent."""
        with self._lock:
            self._n_requests += 1

    def on_error(self) -> None:
        """Count a request that failed before its response began."""
        with self._lock:
            self._n_requests -= 1

    def on_response_start(self, latency: float, now: float) -> None:
        """Record that a response began, `latency` seconds after its request."""
        with self._lock:
            self._latencies.append(latency)
            self._advance(now)
            self._n_bodies += 1

    def on_bytes(self, n: int, now: float) -> None:
        """Record bytes of a body that arrived."""
        with self._lock:
            self._advance(now)
            self._sample_bytes += n
            if self._sample_bytes >= _SAMPLE_BYTES and self._sample_seconds > 0:
                sample = self._sample_bytes / self._sample_seconds
                previous = sample if self._bandwidth is None else self._bandwidth
                self._bandwidth = previous + _SAMPLE_WEIGHT * (sample - previous)
                self._sample_bytes, self._sample_seconds = 0, 0.0

    def on_response_end(self, now: float) -> None:
        """Record that a response ended."""
        with self._lock:
            self._advance(now)
            self._n_bodies -= 1
            self._n_requests -= 1

    def estimate(self, max_concurrent: int, spacing: float, fixed_gap: int | None) -> LinkEstimate:
        """Return what was measured, with the defaults of `LinkEstimate` for what was not yet."""
        with self._lock:
            return LinkEstimate(
                latency=median(self._latencies) if self._latencies else LinkEstimate.latency,
                bandwidth=self._bandwidth or LinkEstimate.bandwidth,
                max_concurrent=max_concurrent,
                n_streams=max(self._n_requests, 1),
                spacing=spacing,
                fixed_gap=fixed_gap,
            )

    def _advance(self, now: float) -> None:
        # Only the time in which bodies arrive counts: a host without requests is not slow.
        if self._n_bodies:
            self._sample_seconds += now - self._updated
        self._updated = now
