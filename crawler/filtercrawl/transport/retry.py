"""When to try again, and how long to wait before."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2

# Answers that a later try may turn into a good one.
TRANSIENT_STATUS: Final = frozenset({429, 500, 502, 503, 504})
TRANSIENT_ERRORS: Final = (
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    httpx2.ProxyError,
)
UNSENT_ERRORS: Final = (httpx2.ConnectError, httpx2.ConnectTimeout)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Sources of time and randomness, which tests replace."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Callable[[], float] = random.random


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long to bear with a server, in seconds.

    attempts: tries of one request. base, max_delay: of the exponential backoff. total: all waits of one request
    together. connect, read, pool: timeouts; read is the longest silence within an answer. per_host: requests at a time.
    gap: bytes that may lie between two ranges for them to come in one request; None for what the host's answers show
    to pay.
    """

    attempts: int = 6
    base_delay: float = 0.5
    max_delay: float = 30.0
    total_timeout: float = 600.0
    connect: float = 10.0
    read: float = 30.0
    pool: float = 300.0
    per_host: int = 16
    gap: int | None = None

    def backoff(self, attempt: int, clock: Clock) -> float:
        """Return the wait after the `attempt`-th try: exponential with full jitter."""
        return float(clock.random()) * float(min(self.max_delay, self.base_delay * 2.0**attempt))


def retry_after(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, given as seconds or as an HTTP date."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - clock.wall())


def is_retryable(request: httpx2.Request, fault: int | Exception) -> bool:
    """Tell whether a request may be sent again after a fault: an answer's status, or what was raised."""
    if isinstance(fault, Exception) and is_certificate_error(fault):
        return False
    if request.method in _SAFE:
        return True
    # Refused or never sent: nothing can have happened. Else only the caller knows, and says so.
    harmless = fault == 429 or isinstance(fault, UNSENT_ERRORS) or "Idempotency-Key" in request.headers
    return harmless and isinstance(request.stream, httpx2.ByteStream)


def is_certificate_error(error: BaseException | None) -> bool:
    """Tell whether an error comes from a certificate: no later try will like it better."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
