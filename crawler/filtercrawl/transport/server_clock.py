"""The clock of a server, by the `Date` of its responses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx2

from filtercrawl.config.urls import origin
from filtercrawl.transport.responses import parse_http_date


class ServerClock:
    """Response hook that notes how far the clock of this machine is ahead of that of one server.

    Attributes:
        error: By the last response; None where none has said.
    """

    def __init__(self, endpoint: str) -> None:
        """Create the hook.

        Args:
            endpoint: URL of the server; responses of others, such as those that hold its files, say nothing of it.
        """
        self.error: timedelta | None = None
        self._origin = origin(endpoint)

    def __call__(self, response: httpx2.Response) -> None:
        """Note one response, unless a cache gave it."""
        date = parse_http_date(response.headers.get("Date", ""))
        if date is not None and "Age" not in response.headers and origin(str(response.request.url)) == self._origin:
            self.error = datetime.now(UTC) - date
