"""Bodies of responses: counted and timed as they arrive, and decoded within a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final

import httpx2

from filtercrawl.transport.link_estimate import LinkMeter
from filtercrawl.transport.rate_limit import HostLimiter
from filtercrawl.transport.responses import RetriesExhaustedError
from filtercrawl.transport.retry import Clock

# The largest listing page or description that is read, decoded; weights are streamed.
MAX_RESPONSE_BYTES: Final = 64 * 1024 * 1024
# How much is kept of the body of a redirect or a refusal.
_MESSAGE_BYTES: Final = 64 * 1024
# Request extension: read the whole response within the retries, whatever its content type.
READ_WHOLE: Final = "filtercrawl.read_whole"
# Headers that describe the body as it was sent.
_FRAMING: Final = ("Content-Encoding", "Content-Length", "Transfer-Encoding")


class MeteredBody(httpx2.SyncByteStream):
    """A response body that is counted and timed as it arrives, and that frees its connection when it is closed."""

    def __init__(
        self, stream: httpx2.SyncByteStream, host: HostLimiter, clock: Clock, count: Callable[[int], None]
    ) -> None:
        """Wrap the stream of a response.

        Args:
            stream: The body as it is received.
            host: The host, one of whose connections is released at the end.
            clock: Time.
            count: Called with the length of each chunk, in bytes.
        """
        self._stream = stream
        self._meter: LinkMeter = host.meter
        self._connections = host.connections
        self._clock = clock
        self._count = count
        self._closed = False
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._count(len(chunk))
            self._meter.on_bytes(len(chunk), self._clock.monotonic())
            yield chunk

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._meter.on_response_end(self._clock.monotonic())
        try:
            self._stream.close()
        finally:
            self._connections.release()


class _DecodedBody(httpx2.SyncByteStream):
    """The decoded body of a response, of at most MAX_RESPONSE_BYTES: a few bytes can inflate to any number."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        n_bytes = 0
        for chunk in self._response.iter_bytes():  # decoded a MiB at a time
            n_bytes += len(chunk)
            if n_bytes > MAX_RESPONSE_BYTES:
                raise RetriesExhaustedError(f"the response is larger than {MAX_RESPONSE_BYTES} bytes")
            yield chunk

    def close(self) -> None:
        self._response.close()


def limit_body(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    """Return the response with a limited body.

    A JSON response is read into memory here, so that a connection that breaks within it is retried like any other
    failure. Of other responses a compressed body is decoded as it is read; what is not compressed is not limited.

    Raises:
        RetriesExhaustedError: A JSON response is too large.
        httpx2.DecodingError: It is not in the encoding that it states.
    """
    if request.method == "HEAD":
        return response
    if response.status_code >= 300:
        return replace_body(response, httpx2.ByteStream(_read_message(response)))
    if response.status_code != 206 and _is_json(request, response):
        try:
            body = b"".join(_DecodedBody(response))
        finally:
            response.close()
        return replace_body(response, httpx2.ByteStream(body))
    if response.headers.get("Content-Encoding", "identity").lower() == "identity" or _wants_identity(request):
        return response  # whoever asked for the bytes of the file checks that these are
    return replace_body(response, _DecodedBody(response))


def replace_body(response: httpx2.Response, body: httpx2.SyncByteStream, *, decoded: bool = True) -> httpx2.Response:
    """Return a response with another body, by default one that is decoded already."""
    headers = response.headers.copy()
    for name in _FRAMING if decoded else ():
        headers.pop(name, None)
    return httpx2.Response(response.status_code, headers=headers, stream=body, extensions=response.extensions)


def _read_message(response: httpx2.Response) -> bytes:
    """Return the beginning of the body of a redirect or a refusal, which clients read whole and few people need."""
    message = bytearray()
    try:
        for chunk in response.iter_bytes(_MESSAGE_BYTES):
            message += chunk
            if len(message) >= _MESSAGE_BYTES:
                break
    except (httpx2.TransportError, httpx2.DecodingError):
        pass  # the status was received, and says what matters
    finally:
        response.close()
    return bytes(message[:_MESSAGE_BYTES])


def _is_json(request: httpx2.Request, response: httpx2.Response) -> bool:
    return READ_WHOLE in request.extensions or response.headers.get("Content-Type", "").startswith("application/json")


def _wants_identity(request: httpx2.Request) -> bool:
    return request.headers.get("Accept-Encoding", "").lower() == "identity"
