"""The transport over HTTP."""

from __future__ import annotations

import json
import re
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urljoin

import httpx2

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.errors import NetworkError
from filtercrawl.config import NetworkSettings, proxy
from filtercrawl.config.urls import redact_url
from filtercrawl.transport.bulk_queue import BulkQueue
from filtercrawl.transport.context import FetchContext
from filtercrawl.transport.http_file import HttpFile
from filtercrawl.transport.link_model import LinkEstimate
from filtercrawl.transport.log_redaction import redact_http_logs
from filtercrawl.transport.middleware import MAX_RESPONSE_BYTES, WHOLE, PolicyTransport
from filtercrawl.transport.range_cache import RangeCache
from filtercrawl.transport.readahead import ActiveReaders
from filtercrawl.transport.responses import map_http_errors, raise_for_status, validate_url
from filtercrawl.transport.retry import Clock, RetryPolicy

_NEXT: Final = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')
_MAX_REDIRECTS: Final = 10


class HttpTransport:
    """Implements `filtercrawl.api.transport.Transport`. Thread-safe; connects at the first request."""

    def __init__(
        self,
        settings: NetworkSettings | None = None,
        *,
        cancellation: CancellationToken | None = None,
        clock: Clock | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        redact_http_logs()
        self._patience = retry_policy or RetryPolicy()
        self._clock = clock or Clock()
        self._cancellation = cancellation or CancellationToken()
        self._polite = PolicyTransport(
            _ProxyTransport(self._patience),
            settings or NetworkSettings(),
            self._patience,
            self._cancellation,
            self._clock,
        )
        self.client: httpx2.Client = _UnclosableClient(
            transport=self._polite,
            follow_redirects=True,
            max_redirects=_MAX_REDIRECTS,
            timeout=httpx2.Timeout(self._patience.read, connect=self._patience.connect, pool=self._patience.pool),
            headers={"User-Agent": f"filtercrawl/{version('filtercrawl')}"},
        )
        known = settings or NetworkSettings()
        self._pools = [ThreadPoolExecutor(2 * self._patience.per_host, name) for name in ("fetch", "bulk")]
        self._means = FetchContext(
            client=self.client,
            cache=RangeCache(known.cache, known.cache_size),
            pool=self._pools[0],
            bulk=self._pools[1],
            link=self._polite.link,
            active_readers=ActiveReaders(),
            bulk_queue=BulkQueue(),
            retry_policy=self._patience,
            cancellation=self._cancellation,
            clock=self._clock,
        )
        self._end = weakref.finalize(self, self._polite.close)

    @property
    def requests(self) -> int:
        return self._polite.requests

    @property
    def bytes_fetched(self) -> int:
        return self._polite.bytes_fetched

    def get_json(self, url: str) -> Any:
        return self._get(url)[0]

    def pages(self, url: str) -> Iterator[Any]:
        following: str | None = url
        seen = set()
        while following is not None:
            if following in seen:
                raise NetworkError(f"{redact_url(following)}: the pages of this listing lead in a circle")
            seen.add(following)
            page, answer = self._get(following)
            yield page
            match = _NEXT.search(", ".join(answer.headers.get_list("Link")))
            following = urljoin(str(answer.url), match[1]) if match else None

    def open(self, file: RemoteFile, listed_at: str | None = None) -> HttpFile:
        validate_url(file.url)
        return HttpFile(file, listed_at or file.url, self._means)

    def link(self, url: str) -> LinkEstimate:
        return self._polite.link(url)

    def close(self) -> None:
        """Close all connections; the transport is of no use afterwards."""
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        self._end()

    def _get(self, url: str) -> tuple[Any, httpx2.Response]:
        where = redact_url(validate_url(url))
        body = bytearray()
        with (
            map_http_errors(where),
            self.client.stream("GET", url, headers={"Accept": "application/json"}, extensions={WHOLE: True}) as answer,
        ):
            raise_for_status(answer, where)
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > MAX_RESPONSE_BYTES:
                    raise NetworkError(f"{where}: the answer is larger than {MAX_RESPONSE_BYTES} bytes")
        try:
            return json.loads(body), answer
        except (ValueError, RecursionError) as error:
            raise NetworkError(f"{where}: the answer is no JSON ({error})") from error


class _UnclosableClient(httpx2.Client):
    """A client that cannot be closed by those who borrow it: huggingface_hub closes what it was given."""

    def close(self) -> None:
        pass


class _ProxyTransport(httpx2.BaseTransport):
    """The connections themselves: made at the first request, through the proxies that the environment names."""

    def __init__(self, retry_policy: RetryPolicy) -> None:
        self._limits = httpx2.Limits(max_connections=None, max_keepalive_connections=retry_policy.per_host * 2)
        self._by_proxy: dict[str | None, httpx2.HTTPTransport] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        via = proxy(request.url.scheme, request.url.netloc.decode("ascii"))
        with self._lock:
            if via not in self._by_proxy:
                self._by_proxy[via] = httpx2.HTTPTransport(proxy=via, limits=self._limits)
        return self._by_proxy[via].handle_request(request)

    def close(self) -> None:
        for wire in self._by_proxy.values():
            wire.close()
