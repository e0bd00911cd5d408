"""How fast a host may be asked: so many requests at a time, and no more than its rate limit leaves."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from filtercrawl.transport.link_model import LinkMeter
from filtercrawl.transport.retry import Clock

# "api";r=0;t=55: of the quota `api` nothing remains, for 55 seconds more.
_LIMIT: Final = re.compile(r'"?([\w-]+)"?\s*;\s*r\s*=\s*(\d{1,9})\s*;\s*t\s*=\s*(\d{1,9})')
# "fixed window";"api";q=500;w=300: the quota `api` is 500 requests.
_POLICY: Final = re.compile(r'"?([\w-]+)"?\s*;\s*q\s*=\s*(\d{1,9})')
# Below this share of a quota the rest is spread over the rest of its window.
_LOW_QUOTA: Final = 0.1


@dataclass
class _Quota:
    """When the next request may go, and how far apart requests are kept."""

    open_at: float = 0.0
    spacing: float = 0.0


class HostLimiter:
    """One origin: its turnstile, its quotas, and what its answers were measured to cost. Thread-safe.

    A host may keep several quotas and tells an answer's only in the answer; a path is held to the quota that the last
    answer under the same first folder named.
    """

    def __init__(self, at_a_time: int, clock: Clock) -> None:
        self.semaphore = threading.BoundedSemaphore(at_a_time)
        self.gauge = LinkMeter()
        self.down = False
        self._clock = clock
        self._lock = threading.Lock()
        self._quotas: dict[str, _Quota] = {}
        self._quota_of: dict[str, str] = {}

    def wait_for_rate_limit(self, path: str) -> float:
        """Take the next place in the queue for a path; returns the seconds until its turn."""
        with self._lock:
            quota = self._quotas.get(self._quota_of.get(_folder(path), ""))
            if quota is None:
                return 0.0
            now = self._clock.monotonic()
            turn = max(now, quota.open_at)
            if quota.spacing:
                quota.open_at = turn + quota.spacing
            return turn - now

    def update_from_headers(self, path: str, headers: Mapping[str, str]) -> None:
        """Learn from an answer's `RateLimit` and `RateLimit-Policy` headers."""
        policies = {name: int(most) for name, most in _POLICY.findall(headers.get("RateLimit-Policy", ""))}
        for name, remaining, seconds in _LIMIT.findall(headers.get("RateLimit", "")):
            left, window = int(remaining), float(seconds)
            with self._lock:
                self._quota_of[_folder(path)] = name
                quota = self._quotas.setdefault(name, _Quota())
                if left == 0:
                    quota.open_at = self._clock.monotonic() + window
                    quota.spacing = 0.0
                else:
                    quota.spacing = window / left if left < policies.get(name, 0) * _LOW_QUOTA else 0.0

    def spacing(self, path: str) -> float:
        """Return the seconds that two requests for a path are kept apart at present."""
        with self._lock:
            quota = self._quotas.get(self._quota_of.get(_folder(path), ""))
            return 0.0 if quota is None else quota.spacing

    def block_for(self, path: str, seconds: float) -> None:
        """Let nobody ask under a path's first folder for a while: the host said so."""
        with self._lock:
            name = self._quota_of.setdefault(_folder(path), f"/{_folder(path)}")
            quota = self._quotas.setdefault(name, _Quota())
            quota.open_at = max(quota.open_at, self._clock.monotonic() + seconds)


def _folder(path: str) -> str:
    return path.lstrip("/").partition("/")[0]
