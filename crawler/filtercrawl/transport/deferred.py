"""A transport that costs nothing until it is used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.transport import OpenedFile
from filtercrawl.transport.link_estimate import LinkEstimate

if TYPE_CHECKING:
    import httpx2

    from filtercrawl.transport.client import HttpTransport


class DeferredTransport:
    """Implements `filtercrawl.transport.MeasuredTransport`: opens the transport over HTTP at first use. Thread-safe."""

    def __init__(self, open_transport: Callable[[], HttpTransport]) -> None:
        """Remember how to open the transport.

        Args:
            open_transport: Imports the HTTP library, and returns the transport; called once.
        """
        self._open_transport = open_transport
        self._opened: HttpTransport | None = None
        self._lock = threading.Lock()

    @property
    def client(self) -> httpx2.Client:
        """The one HTTP client."""
        return self._http().client

    @property
    def requests(self) -> int:
        """Requests sent, retries and redirects included."""
        return 0 if self._opened is None else self._opened.requests

    @property
    def retries(self) -> int:
        """Failed requests that were tried again."""
        return 0 if self._opened is None else self._opened.retries

    @property
    def bytes_fetched(self) -> int:
        """Bytes of response bodies received."""
        return 0 if self._opened is None else self._opened.bytes_fetched

    def get_json(self, url: str) -> Any:
        """Return the JSON at a URL; raises NetworkError."""
        return self._http().get_json(url)

    def pages(self, url: str) -> Iterator[Any]:
        """Yield the JSON of all pages of a listing; raises NetworkError."""
        return self._http().pages(url)

    def open(self, file: RemoteFile, listed_at: str | None = None) -> OpenedFile:
        """Open a file without a request."""
        return self._http().open(file, listed_at)

    def link(self, url: str) -> LinkEstimate:
        """Return the measured latency and bandwidth of a URL's host."""
        return self._http().link(url)

    def close(self) -> None:
        """Close all connections, where any was opened; the transport cannot be used afterwards."""
        if self._opened is not None:
            self._opened.close()

    def _http(self) -> HttpTransport:
        with self._lock:
            if self._opened is None:
                self._opened = self._open_transport()
            return self._opened
