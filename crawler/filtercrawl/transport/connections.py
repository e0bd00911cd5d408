"""Connections: to addresses that may be connected to only, at a minimum rate, and ended by cancellation."""

from __future__ import annotations

import ipaddress
import ssl
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import httpcore2
import httpx2

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.config import proxy
from filtercrawl.transport.addresses import Zone, check_zone, resolve, zone_of
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.responses import TOO_SLOW

# Request extension: the narrowest `Zone` that the request may go to. Response extension: the zone that it came from.
NARROWEST_ZONE: Final = "filtercrawl.narrowest_zone"
ZONE: Final = "filtercrawl.zone"
# A blocked read looks this often, in seconds, whether the run is to end.
_POLL_SECONDS: Final = 0.25


class ConnectionPools(httpx2.BaseTransport):
    """Connections, opened at the first request, through the proxies that the environment names. Thread-safe.

    There is a pool for each proxy and for each zone that requests are confined to, so that a connection to a narrower
    zone is never reused for a redirect that may not lead there.
    """

    def __init__(self, options: TransportOptions, cancellation: CancellationToken) -> None:
        self._options = options
        self._cancellation = cancellation
        self._ssl_context: ssl.SSLContext | None = None
        self._pools: dict[tuple[str | None, Zone], httpx2.BaseTransport] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the response says in its extension ZONE where it came from.

        Raises:
            AddressRefusedError: The host has no address in the zone that NARROWEST_ZONE confines the request to.
        """
        narrowest = request.extensions.get(NARROWEST_ZONE, Zone.LOOPBACK)
        proxy_url = proxy(request.url.scheme, request.url.netloc.decode("ascii"))
        if proxy_url is not None:  # the proxy resolves names, so only an address can be checked
            check_zone(request.url.host, _literal_addresses(request.url.host), narrowest)
        response = self._pool(proxy_url, narrowest).handle_request(request)
        stream = response.extensions.get("network_stream")
        zone = None if stream is None or proxy_url is not None else stream.get_extra_info(ZONE)
        response.extensions[ZONE] = Zone.PUBLIC if zone is None else zone
        return response

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def _pool(self, proxy_url: str | None, narrowest: Zone) -> httpx2.BaseTransport:
        key = (proxy_url, Zone.LINK_LOCAL if proxy_url is not None else narrowest)
        with self._lock:
            if key not in self._pools:
                if self._ssl_context is None:
                    self._ssl_context = httpx2.create_ssl_context()
                limits = httpx2.Limits(max_connections=None, max_keepalive_connections=2 * self._options.max_concurrent)
                backend = _Backend(key[1], self._options, self._cancellation)
                self._pools[key] = _Pool(backend, verify=self._ssl_context, proxy=proxy_url, limits=limits)
            return self._pools[key]


class _Pool(httpx2.HTTPTransport):
    """A pool whose connections a given backend opens; httpx2 has no parameter for it."""

    def __init__(self, backend: httpcore2.NetworkBackend, **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(getattr(self._pool, "_network_backend", None), httpcore2.NetworkBackend):
            raise TypeError("this version of httpcore2 is not supported: its pools have no network backend")
        self._pool._network_backend = backend  # noqa: SLF001 - see above


@dataclass(frozen=True)
class _Backend(httpcore2.NetworkBackend):
    """Resolves names and connects to addresses of allowed zones.

    The address that was checked is the one that is connected to: a name may resolve to another one a moment later.
    """

    narrowest: Zone
    options: TransportOptions
    cancellation: CancellationToken

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        failure: httpcore2.ConnectError | httpcore2.ConnectTimeout = httpcore2.ConnectError(f"{host} has no address")
        for address in check_zone(host, resolve(host, port, timeout, self.cancellation), self.narrowest):
            self.cancellation.raise_if_cancelled()
            try:
                stream = httpcore2.SyncBackend().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, zone_of(address), self.options, self.cancellation)
        raise failure


class _Stream(httpcore2.NetworkStream):
    """A connection whose reads end when the run does, or when a response comes slower than the minimum rate."""

    def __init__(
        self, inner: httpcore2.NetworkStream, zone: Zone, options: TransportOptions, cancellation: CancellationToken
    ) -> None:
        self._inner = inner
        self._zone = zone
        self._options = options
        self._cancellation = cancellation
        self._waited = 0.0  # seconds in reads, and the bytes that they brought
        self._received = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        started = time.monotonic()
        while True:
            self._cancellation.raise_if_cancelled()
            left = _POLL_SECONDS if timeout is None else timeout - (time.monotonic() - started)
            try:
                data = self._inner.read(max_bytes, max(0.001, min(_POLL_SECONDS, left)))
                break
            except httpcore2.ReadTimeout:
                if timeout is not None and time.monotonic() - started >= timeout:
                    raise
        self._check_rate(len(data), time.monotonic() - started)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._waited, self._received = 0.0, 0
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(inner, self._zone, self._options, self._cancellation)

    def get_extra_info(self, info: str) -> Any:
        return self._zone if info == ZONE else self._inner.get_extra_info(info)

    def _check_rate(self, n_bytes: int, seconds: float) -> None:
        """Raise ReadTimeout if the reads of the last `rate_window` seconds brought less than the minimum rate."""
        self._waited += seconds
        self._received += n_bytes
        if self._waited < self._options.rate_window:
            return
        if n_bytes and self._received < self._options.min_rate * self._waited:
            raise httpcore2.ReadTimeout(TOO_SLOW)
        self._waited, self._received = 0.0, 0


def _literal_addresses(host: str) -> list[str]:
    """Return a host as the only item if it is an address of this machine by name, or any address; else nothing."""
    if host == "localhost" or host.endswith(".localhost"):
        return ["127.0.0.1"]
    try:
        return [str(ipaddress.ip_address(host.partition("%")[0]))]
    except ValueError:
        return []
