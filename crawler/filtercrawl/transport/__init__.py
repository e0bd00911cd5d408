"""Network access: ranges, retries, rate limits, budgets, cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from filtercrawl.api.transport import OpenedFile, Transport

if TYPE_CHECKING:
    from filtercrawl.api.cancellation import CancellationToken
    from filtercrawl.config import NetworkSettings
    from filtercrawl.transport.link_model import LinkEstimate
    from filtercrawl.transport.retry import Clock, RetryPolicy

__all__ = ["MeasuredTransport", "OpenedFile", "Transport", "network"]


class MeasuredTransport(Transport, Protocol):
    """A transport that knows what requests to a host cost."""

    def link(self, url: str) -> LinkEstimate:
        """Return the measured latency and bandwidth of a URL's host; a default where nothing was measured yet."""
        ...


def network(
    settings: NetworkSettings | None = None,
    *,
    cancellation: CancellationToken | None = None,
    clock: Clock | None = None,
    retry_policy: RetryPolicy | None = None,
) -> MeasuredTransport:
    """Return the transport of a run; it connects at the first request.

    Args:
        settings: Credentials, mirrors, budgets and cache; the defaults are used if omitted.
        cancellation: Ends waits and downloads once it is cancelled.
        clock: Time and randomness, for tests.
        retry_policy: Attempts, delays and timeouts, for tests.
    """
    from filtercrawl.transport.client import HttpTransport  # an HTTP library is no business of a run over local files

    return HttpTransport(settings, cancellation=cancellation, clock=clock, retry_policy=retry_policy)
