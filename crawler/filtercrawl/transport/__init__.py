"""Network access: byte ranges of remote files, a cache of them, retries, rate limits, credentials and budgets.

A request goes from `client` or `http_file` through `middleware`, which applies `rate_limit` and `retry`. For a file
that is read by byte range, `prefetcher` queues ranges, `range_planning` chooses the requests by the costs that
`link_estimate` measured, `range_fetcher` sends them, and `range_cache` keeps the bytes; `readahead` serves reads that
were not announced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.transport import OpenedFile, Transport
from filtercrawl.config import NetworkSettings
from filtercrawl.transport.deferred import DeferredTransport
from filtercrawl.transport.link_estimate import LinkEstimate
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import Clock

if TYPE_CHECKING:
    from filtercrawl.transport.client import HttpTransport

__all__ = ["MeasuredTransport", "OpenedFile", "Transport", "network"]


class MeasuredTransport(Transport, Protocol):
    """A transport that measures what requests to a host cost."""

    @property
    def retries(self) -> int:
        """Failed requests that were tried again."""
        ...

    def link(self, url: str) -> LinkEstimate:
        """Return the measured latency and bandwidth of a URL's host; a default where nothing was measured yet."""
        ...

    def close(self) -> None:
        """Close all connections; the transport cannot be used afterwards."""
        ...


def network(
    settings: NetworkSettings | None = None,
    *,
    cancellation: CancellationToken | None = None,
    clock: Clock | None = None,
    options: TransportOptions | None = None,
) -> MeasuredTransport:
    """Return the transport of a run; it imports the HTTP library at the first use, and connects at the first request.

    Args:
        settings: Credentials, mirrors, budgets and cache; the defaults are used if omitted.
        cancellation: Ends waits and downloads once it is cancelled.
        clock: Time and randomness, for tests.
        options: Timeouts, limits and retries, for tests.
    """

    def open_transport() -> HttpTransport:
        from filtercrawl.transport.client import HttpTransport  # runs over local files need no HTTP library

        return HttpTransport(settings, cancellation=cancellation, clock=clock, options=options)

    return DeferredTransport(open_transport)
