"""URLs that a server names, in a redirect or a link: where they may lead, and that they carry no other host's token."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from filtercrawl.config import NetworkSettings, hub_endpoint
from filtercrawl.config.urls import origin
from filtercrawl.transport.addresses import Zone
from filtercrawl.transport.connections import ZONE

# Response extension: the `Server` that it came from. Request extension: the `Server` that named its URL, if one did.
SERVER: Final = "filtercrawl.server"
NAMED_BY: Final = "filtercrawl.named_by"
# huggingface_hub asks where a file is, and then requests that URL by itself.
_TARGETS_KEPT: Final = 1000


@dataclass(frozen=True)
class Server:
    """A server whose responses may name URLs.

    Attributes:
        zone: The zone of its address, or the widest one of the servers whose redirects led to it.
        origins: Its origin, and that of its mirror if it has one.
    """

    zone: Zone
    origins: frozenset[str]


class Redirects:
    """Confines the URLs that servers name, whether this client follows them or a library. Thread-safe.

    They may not lead to a narrower zone than the server is in, so that no public server has this machine request
    something of the networks that only it can reach. URLs that come from a user or a source may lead anywhere but to
    link-local and metadata addresses, and origins that the settings name to these too.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        self._unconfined = settings.local_redirects
        named = [*settings.auth, *settings.mirrors.values(), hub_endpoint()]
        self._named_origins = frozenset(origin(url) for url in named)
        self._targets: OrderedDict[str, Server] = OrderedDict()
        self._lock = threading.Lock()

    def narrowest_zone(self, request: httpx2.Request, sent_to: httpx2.URL) -> Zone:
        """Return the narrowest zone that a request may go to.

        Args:
            request: The request.
            sent_to: The URL that is requested in its place: at a mirror, where it has one.
        """
        named_by = self._named_by(request)
        if self._unconfined or origin(str(sent_to)) != origin(str(request.url)):  # a mirror
            return Zone.LINK_LOCAL
        if named_by is not None:
            return max(named_by.zone, Zone.LOOPBACK)
        return Zone.LINK_LOCAL if origin(str(sent_to)) in self._named_origins else Zone.LOOPBACK

    def may_have_token(self, request: httpx2.Request) -> bool:
        """Tell whether the token of its origin may be added to a request: not if another origin named its URL."""
        named_by: Server | None = request.extensions.get(NAMED_BY)  # a library adds the token by itself
        url = str(request.url)
        origins = {origin(url), origin(url.replace("https:", "http:", 1))}  # the same host may ask for TLS
        return named_by is None or not origins.isdisjoint(named_by.origins)

    def record(self, request: httpx2.Request, response: httpx2.Response, sent_to: httpx2.URL) -> None:
        """Record in a response which server it came from, and confine what follows if it is a redirect."""
        zone, named_by = response.extensions[ZONE], self._named_by(request)
        if named_by is not None:
            zone = max(zone, named_by.zone)
        server = Server(zone, frozenset({origin(str(request.url)), origin(str(sent_to))}))
        response.extensions[SERVER] = server
        if not response.has_redirect_location:
            return
        request.extensions[NAMED_BY] = server  # the client copies the extensions to the request that follows
        try:
            target = _without_fragment(request.url.join(response.headers["Location"]))
        except httpx2.InvalidURL:
            return
        with self._lock:
            self._targets.pop(target, None)
            self._targets[target] = server
            while len(self._targets) > _TARGETS_KEPT:
                self._targets.popitem(last=False)

    def _named_by(self, request: httpx2.Request) -> Server | None:
        found: Server | None = request.extensions.get(NAMED_BY)
        if found is None:
            with self._lock:
                found = self._targets.get(_without_fragment(request.url))
        return found


def named_by(server: Server | None) -> dict[str, Any]:
    """Return the extensions of a request whose URL a server named; of one that came from elsewhere, for None."""
    return {} if server is None else {NAMED_BY: server}


def _without_fragment(url: httpx2.URL) -> str:
    return str(url.copy_with(fragment=None))
