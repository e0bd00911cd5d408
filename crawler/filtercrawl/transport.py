"""The one door to the network."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Final, Protocol
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit

from filtercrawl.errors import NetworkError

_TIMEOUT: Final = 30.0
# A listing page; weights never pass through here.
_LARGEST_ANSWER: Final = 64 * 1024 * 1024
_NEXT: Final = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')


class Transport(Protocol):
    """What a source may ask of the network; a plugin opens no connection of its own."""

    def get_json(self, url: str) -> Any:
        """Return the JSON at an http(s) URL; raises NetworkError."""
        ...

    def pages(self, url: str) -> Iterator[Any]:
        """Yield the JSON of a page and of all that its `Link: <...>; rel="next"` headers lead to."""
        ...


class Http:
    """The transport over HTTP, with a timeout and a bound on every answer."""

    def __init__(self) -> None:
        self.requests = 0
        agent = f"filtercrawl/{version('filtercrawl')}"
        self._opener = urllib.request.build_opener()
        self._opener.addheaders = [("User-Agent", agent), ("Accept", "application/json")]

    def get_json(self, url: str) -> Any:
        return self._get(url)[0]

    def pages(self, url: str) -> Iterator[Any]:
        following: str | None = url
        while following is not None:
            page, link = self._get(following)
            yield page
            match = _NEXT.search(link)
            following = urljoin(following, match[1]) if match else None

    def _get(self, url: str) -> tuple[Any, str]:
        shown = url.partition("?")[0]
        if urlsplit(url).scheme not in ("http", "https"):
            raise NetworkError(f"{shown}: only http and https URLs are fetched")
        self.requests += 1
        try:
            with self._opener.open(url, timeout=_TIMEOUT) as answer:
                body = answer.read(_LARGEST_ANSWER + 1)
                link = ", ".join(answer.headers.get_all("Link") or [])
        except (URLError, OSError, ValueError) as error:
            raise NetworkError(f"{shown}: {getattr(error, 'reason', error)}") from error
        if len(body) > _LARGEST_ANSWER:
            raise NetworkError(f"{shown}: the answer is larger than {_LARGEST_ANSWER} bytes")
        try:
            return json.loads(body), link
        except (ValueError, RecursionError) as error:
            raise NetworkError(f"{shown}: the answer is no JSON ({error})") from error


def network() -> Transport:
    """Return the transport of this run."""
    return Http()
