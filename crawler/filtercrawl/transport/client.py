"""The transport over HTTP."""

from __future__ import annotations

import json
import re
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

import httpx2

from filtercrawl.api.errors import NetworkError
from filtercrawl.config import NetworkSettings, proxy
from filtercrawl.config.urls import shown
from filtercrawl.transport.bulk_queue import Turns
from filtercrawl.transport.context import Means
from filtercrawl.transport.http_file import HttpFile
from filtercrawl.transport.middleware import LARGEST_ANSWER, WHOLE, Polite
from filtercrawl.transport.range_cache import Cache
from filtercrawl.transport.readahead import Walkers
from filtercrawl.transport.responses import checked, refuse, wrapped
from filtercrawl.transport.retry import Clock, Patience

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filtercrawl.api.checkpoint import RemoteFile
    from filtercrawl.transport.link_model import Link

_NEXT: Final = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')
_MOST_REDIRECTS: Final = 10


class Http:
    """Implements `filtercrawl.api.transport.Transport`. Thread-safe; connects at the first request."""

    def __init__(
        self,
        settings: NetworkSettings | None = None,
        *,
        clock: Clock | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._patience = patience or Patience()
        self._clock = clock or Clock()
        self._polite = Polite(_Wires(self._patience), settings or NetworkSettings(), self._patience, self._clock)
        self.client: httpx2.Client = _Shared(
            transport=self._polite,
            follow_redirects=True,
            max_redirects=_MOST_REDIRECTS,
            timeout=httpx2.Timeout(self._patience.read, connect=self._patience.connect, pool=self._patience.pool),
            headers={"User-Agent": f"filtercrawl/{version('filtercrawl')}"},
        )
        known = settings or NetworkSettings()
        self._pools = [ThreadPoolExecutor(2 * self._patience.per_host, name) for name in ("fetch", "bulk")]
        self._means = Means(
            client=self.client,
            cache=Cache(known.cache, known.cache_size),
            pool=self._pools[0],
            bulk=self._pools[1],
            link=self._polite.link,
            walkers=Walkers(),
            turns=Turns(),
            patience=self._patience,
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
                raise NetworkError(f"{shown(following)}: the pages of this listing lead in a circle")
            seen.add(following)
            page, answer = self._get(following)
            yield page
            match = _NEXT.search(", ".join(answer.headers.get_list("Link")))
            following = urljoin(str(answer.url), match[1]) if match else None

    def open(self, file: RemoteFile, listed_at: str | None = None) -> HttpFile:
        checked(file.url)
        return HttpFile(file, listed_at or file.url, self._means)

    def link(self, url: str) -> Link:
        return self._polite.link(url)

    def close(self) -> None:
        """Close all connections; the transport is of no use afterwards."""
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        self._end()

    def _get(self, url: str) -> tuple[Any, httpx2.Response]:
        where = shown(checked(url))
        body = bytearray()
        with (
            wrapped(where),
            self.client.stream("GET", url, headers={"Accept": "application/json"}, extensions={WHOLE: True}) as answer,
        ):
            refuse(answer, where)
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > LARGEST_ANSWER:
                    raise NetworkError(f"{where}: the answer is larger than {LARGEST_ANSWER} bytes")
        try:
            return json.loads(body), answer
        except (ValueError, RecursionError) as error:
            raise NetworkError(f"{where}: the answer is no JSON ({error})") from error


class _Shared(httpx2.Client):
    """A client that cannot be closed by those who borrow it: huggingface_hub closes what it was given."""

    def close(self) -> None:
        pass


class _Wires(httpx2.BaseTransport):
    """The connections themselves: made at the first request, through the proxies that the environment names."""

    def __init__(self, patience: Patience) -> None:
        self._limits = httpx2.Limits(max_connections=None, max_keepalive_connections=patience.per_host * 2)
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
