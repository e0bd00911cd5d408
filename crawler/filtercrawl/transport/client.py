"""The transport over HTTP: JSON, listings of several pages, and files read by byte range."""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urljoin

import httpx2

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.errors import NetworkError
from filtercrawl.config import NetworkSettings
from filtercrawl.config.urls import redact_url
from filtercrawl.transport.connections import ConnectionPools
from filtercrawl.transport.http_file import FileContext, HttpFile
from filtercrawl.transport.link_estimate import LinkEstimate
from filtercrawl.transport.log_redaction import redact_http_logs
from filtercrawl.transport.middleware import PolicyTransport
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.prefetcher import DownloadPools
from filtercrawl.transport.range_cache import RangeCache
from filtercrawl.transport.range_fetcher import FetchContext
from filtercrawl.transport.readahead import ActiveReaders
from filtercrawl.transport.redirects import SERVER, Server, named_by
from filtercrawl.transport.response_body import READ_WHOLE
from filtercrawl.transport.responses import map_http_errors, raise_for_status, validate_url
from filtercrawl.transport.retry import Clock

_NEXT_LINK: Final = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')
_MAX_REDIRECTS: Final = 10


class HttpTransport:
    """Implements `filtercrawl.api.transport.Transport`. Thread-safe; connects at the first request.

    Attributes:
        client: The one HTTP client. Closing it does nothing, since others borrow it; close the transport.
    """

    def __init__(
        self,
        settings: NetworkSettings | None = None,
        *,
        cancellation: CancellationToken | None = None,
        clock: Clock | None = None,
        options: TransportOptions | None = None,
    ) -> None:
        """Prepare the client, the cache and the download threads.

        Args:
            settings: Credentials, mirrors, budgets and cache; the defaults are used if omitted.
            cancellation: Ends waits and downloads once it is cancelled.
            clock: Time and randomness, for tests.
            options: Timeouts, limits and retries, for tests.
        """
        redact_http_logs()
        settings = settings or NetworkSettings()
        cancellation = cancellation or CancellationToken()
        clock = clock or Clock()
        options = options or TransportOptions()
        self._middleware = PolicyTransport(
            ConnectionPools(options, cancellation), settings, options, cancellation, clock
        )
        self.client: httpx2.Client = _UnclosableClient(
            transport=self._middleware,
            follow_redirects=True,
            max_redirects=_MAX_REDIRECTS,
            timeout=httpx2.Timeout(options.read_timeout, connect=options.connect_timeout, pool=options.pool_timeout),
            headers={"User-Agent": f"filtercrawl/{version('filtercrawl')}"},
        )
        self._pools = DownloadPools(options.max_concurrent)
        self._files = FileContext(
            fetch=FetchContext(
                client=self.client,
                cache=RangeCache(settings.cache, settings.cache_size),
                retry_policy=options.retry,
                on_retry=self._middleware.on_retry,
                clock=clock,
            ),
            pools=self._pools,
            link=self._middleware.link,
            active_readers=ActiveReaders(),
            cancellation=cancellation,
        )
        self._close_connections = weakref.finalize(self, self._middleware.close)

    @property
    def requests(self) -> int:
        """Requests sent, retries and redirects included."""
        return self._middleware.requests

    @property
    def retries(self) -> int:
        """Failed requests that were tried again."""
        return self._middleware.retries

    @property
    def bytes_fetched(self) -> int:
        """Bytes of response bodies received."""
        return self._middleware.bytes_fetched

    def get_json(self, url: str) -> Any:
        """Return the JSON at a URL; raises NetworkError."""
        return self._get(url)[0]

    def pages(self, url: str) -> Iterator[Any]:
        """Yield the JSON of a page and of all that its `Link: <...>; rel="next"` headers lead to."""
        next_url: str | None = url
        seen = set()
        server: Server | None = None
        while next_url is not None:
            if next_url in seen:
                raise NetworkError(f"{redact_url(next_url)}: the pages of this listing link in a circle")
            seen.add(next_url)
            page, response = self._get(next_url, server)
            yield page
            server = response.extensions[SERVER]
            match = _NEXT_LINK.search(", ".join(response.headers.get_list("Link")))
            next_url = urljoin(str(response.url), match[1]) if match else None

    def open(self, file: RemoteFile, listed_at: str | None = None) -> HttpFile:
        """Open a file without a request; `listed_at` identifies it in the cache where its URL is temporary."""
        validate_url(file.url)
        return HttpFile(file, listed_at or file.url, self._files)

    def link(self, url: str) -> LinkEstimate:
        """Return the measured latency and bandwidth of a URL's host."""
        return self._middleware.link(url)

    def close(self) -> None:
        """Close all connections; the transport cannot be used afterwards."""
        self._pools.close()
        self._close_connections()

    def _get(self, url: str, linked_by: Server | None = None) -> tuple[Any, httpx2.Response]:
        where = redact_url(validate_url(url))
        headers, extensions = {"Accept": "application/json"}, {READ_WHOLE: True, **named_by(linked_by)}
        with (
            map_http_errors(where),
            self.client.stream("GET", url, headers=headers, extensions=extensions) as response,
        ):
            raise_for_status(response, where)
            body = response.read()
        try:
            return json.loads(body), response
        except (ValueError, RecursionError) as error:
            raise NetworkError(f"{where}: the response is not JSON ({error})") from error


class _UnclosableClient(httpx2.Client):
    """A client that borrowers cannot close: huggingface_hub closes the client it is given."""

    def close(self) -> None:
        pass
