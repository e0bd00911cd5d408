"""Timeouts, limits and retries of the transport."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.transport.retry import RetryPolicy


@dataclass(frozen=True, kw_only=True)
class TransportOptions:
    """How requests are made; the defaults suit every server.

    Attributes:
        retry: Attempts and delays of one request.
        connect_attempts: How often a connection is attempted in a row, where `retry` allows more: who waits for a host
            that does not exist waits in vain.
        connect_timeout: Seconds to open a connection.
        read_timeout: Longest silence within a response, in seconds.
        min_rate: Bytes a second that a response must bring, averaged over `rate_window` seconds of waiting for it: a
            server that sends a byte now and then would otherwise hold a run up forever.
        rate_window: See `min_rate`.
        pool_timeout: Longest wait for a free connection to a host, in seconds.
        max_concurrent: Requests to one host at a time.
        unreachable_limit: Requests in a row for which no connection to a host could be opened, after which the host is
            given up; None for never.
        fixed_gap: Bytes between two ranges up to which one request fetches both, without ever fetching a whole file
            instead; None to derive it from the measured latency and bandwidth.
        sharers: Processes that send requests to the same hosts with the same credentials at the same time.
        admit: Asked before each request, with the bytes received since the last one, whether the budgets that several
            processes share allow it; None where there are none.
    """

    retry: RetryPolicy = RetryPolicy()  # noqa: RUF009 - frozen
    connect_attempts: int = 4
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    min_rate: float = 500.0
    rate_window: float = 45.0
    pool_timeout: float = 300.0
    max_concurrent: int = 16
    unreachable_limit: int | None = None
    fixed_gap: int | None = None
    sharers: int = 1
    admit: Callable[[int], bool] | None = None

    def shared_by(self, n: int) -> TransportOptions:
        """Return the options of one of `n` processes that together keep to these limits."""
        return replace(self, sharers=n, max_concurrent=max(1, self.max_concurrent // n))


# Of a run: three requests in a row that could not connect, and the host is waited for no more.
RUN_OPTIONS: Final = TransportOptions(unreachable_limit=3)
