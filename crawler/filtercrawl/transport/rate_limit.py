"""Rate limiting: concurrent requests to a host, and the quotas that its `RateLimit` headers state."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from filtercrawl.transport.link_estimate import LinkMeter
from filtercrawl.transport.responses import HostUnreachableError
from filtercrawl.transport.retry import Clock

# "api";r=0;t=55: no request remains of the quota `api` for another 55 seconds.
_RATE_LIMIT: Final = re.compile(r'"?([\w-]+)"?\s*;\s*r\s*=\s*(\d{1,9})\s*;\s*t\s*=\s*(\d{1,9})')
# "fixed window";"api";q=500;w=300: the quota `api` is 500 requests in a window of 300 seconds.
_RATE_LIMIT_POLICY: Final = re.compile(r'"?([\w-]+)"?\s*;\s*q\s*=\s*(\d{1,9})')
# Below this share of a quota the remaining requests are spread evenly over the rest of the window.
_LOW_QUOTA: Final = 0.1


@dataclass
class _Quota:
    """One quota of a host.

    Attributes:
        next_request: Monotonic time in seconds before which no request may be sent.
        spacing: Seconds between two requests.
    """

    next_request: float = 0.0
    spacing: float = 0.0


class HostLimiter:
    """Limits of one origin, and what its responses were measured to cost. Thread-safe.

    A host may have several quotas and names that of a response only in the response. A path counts against the quota
    that the last response under the same first folder (`/api/...`) named.

    Args:
        name: The origin.
        max_concurrent: Requests at a time.
        clock: Time.
        sharers: Processes that use up the same quotas; this one takes its share of what remains.

    Attributes:
        name: The origin.
        connections: One permit for each request that may be in progress.
        meter: Measures latency and bandwidth.
        failed_connections: Requests in a row for which no connection could be opened.
        given_up: Why no request is sent any more; None while requests are sent.
    """

    def __init__(self, name: str, max_concurrent: int, clock: Clock, sharers: int = 1) -> None:
        self.connections = threading.BoundedSemaphore(max_concurrent)
        self.meter = LinkMeter()
        self.failed_connections = 0
        self.given_up: str | None = None
        self._announced = False
        self.name = name
        self._clock = clock
        self._sharers = sharers
        self._lock = threading.Lock()
        self._quotas: dict[str, _Quota] = {}
        self._quota_by_folder: dict[str, str] = {}

    def check_reachable(self) -> None:
        """Raise HostUnreachableError if the host is given up."""
        if self.given_up is not None:
            raise HostUnreachableError(self.given_up)

    def record_connection(self) -> None:
        """Record that a connection could be opened."""
        with self._lock:
            self.failed_connections = 0
            self._announced = False

    def announce_retry(self) -> bool:
        """Return True once after each time that the host could be reached: to say that connections are retried."""
        with self._lock:
            announced, self._announced = self._announced, True
            return not announced

    def record_failed_connection(self, reason: str, limit: int | None) -> bool:
        """Record a request for which no connection could be opened, and give the host up after `limit` in a row.

        Returns:
            Whether the host is given up by this request.
        """
        with self._lock:
            self.failed_connections += 1
            if limit is None or self.failed_connections < limit or self.given_up is not None:
                return False
            self.given_up = (
                f"{self.name} cannot be reached ({reason}); this run sends it no more requests, the next one does"
            )
            return True

    def reserve(self, path: str) -> float:
        """Reserve the next request for a path; return the seconds to wait before it may be sent."""
        with self._lock:
            quota = self._quota(path)
            if quota is None:
                return 0.0
            now = self._clock.monotonic()
            send_at = max(now, quota.next_request)
            if quota.spacing:
                quota.next_request = send_at + quota.spacing
            return send_at - now

    def update_from_headers(self, path: str, headers: Mapping[str, str]) -> None:
        """Read the `RateLimit` and `RateLimit-Policy` headers of a response to a request for a path."""
        quotas = {name: int(size) for name, size in _RATE_LIMIT_POLICY.findall(headers.get("RateLimit-Policy", ""))}
        for name, remaining, window in _RATE_LIMIT.findall(headers.get("RateLimit", "")):
            n_remaining, seconds = int(remaining), float(window)
            with self._lock:
                self._quota_by_folder[_first_folder(path)] = name
                quota = self._quotas.setdefault(name, _Quota())
                if n_remaining == 0:
                    quota.next_request = self._clock.monotonic() + seconds
                    quota.spacing = 0.0
                else:
                    is_low = n_remaining < quotas.get(name, 0) * _LOW_QUOTA
                    quota.spacing = seconds * self._sharers / n_remaining if is_low else 0.0

    def spacing(self, path: str) -> float:
        """Return the seconds between two requests for a path at present; 0 where they are not spread."""
        with self._lock:
            quota = self._quota(path)
            return 0.0 if quota is None else quota.spacing

    def block_for(self, path: str, seconds: float) -> None:
        """Send nothing under a path's first folder for some seconds, as `Retry-After` asked."""
        with self._lock:
            name = self._quota_by_folder.setdefault(_first_folder(path), f"/{_first_folder(path)}")
            quota = self._quotas.setdefault(name, _Quota())
            quota.next_request = max(quota.next_request, self._clock.monotonic() + seconds)

    def _quota(self, path: str) -> _Quota | None:
        return self._quotas.get(self._quota_by_folder.get(_first_folder(path), ""))


def _first_folder(path: str) -> str:
    return path.lstrip("/").partition("/")[0]
