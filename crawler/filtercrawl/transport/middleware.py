"""What lies below the one HTTP client: mirrors, credentials by origin, rate budgets, retries, counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final

import httpx2

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import BudgetExhaustedError
from filtercrawl.config import NetworkSettings, secret
from filtercrawl.config.urls import apply_mirrors, origin
from filtercrawl.transport.link_model import LinkEstimate, LinkMeter
from filtercrawl.transport.rate_limit import HostLimiter
from filtercrawl.transport.responses import describe_failure
from filtercrawl.transport.retry import (
    TRANSIENT_ERRORS,
    TRANSIENT_STATUS,
    UNSENT_ERRORS,
    Clock,
    RetryPolicy,
    is_retryable,
    retry_after,
)

# A listing page or a description; weights are streamed.
MAX_RESPONSE_BYTES: Final = 64 * 1024 * 1024
# Request extension: read the whole answer under the retries, whatever its type.
WHOLE: Final = "filtercrawl.whole"


class RetriesExhaustedError(httpx2.TransportError):
    """Every try failed, or the host asks for more patience than there is.

    None of the errors that huggingface_hub tries again by itself: the tries have been made.
    """


class PolicyTransport(httpx2.BaseTransport):
    """Sends requests as a good guest does.

    An answer in JSON is read here as a whole, so that a break within it is tried again like any other fault, also for
    client libraries that would not. requests: sent, tries and redirects included; bytes_fetched: of bodies, as sent.
    """

    def __init__(
        self,
        inner: httpx2.BaseTransport,
        settings: NetworkSettings,
        retry_policy: RetryPolicy,
        cancellation: CancellationToken,
        clock: Clock,
    ) -> None:
        self.requests = 0
        self.bytes_fetched = 0
        self._inner = inner
        self._settings = settings
        self._patience = retry_policy
        self._cancellation = cancellation
        self._clock = clock
        self._hosts: dict[str, HostLimiter] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer, whatever its status; raises httpx2.TransportError, BudgetError or UsageError."""
        sent = self._prepare_request(request)
        host = self._host(origin(str(sent.url)))
        path = sent.url.path
        tries = 1 if host.down else self._patience.attempts
        waited = 0.0
        for attempt in range(tries):
            waited += self._sleep(host.wait_for_rate_limit(path), waited)
            fault: int | httpx2.TransportError
            asked_for = None
            try:
                answer = self._send(sent, host)
            except TRANSIENT_ERRORS as error:
                if not is_retryable(sent, error):
                    raise
                fault = error
            else:
                host.down = False
                if answer.status_code not in TRANSIENT_STATUS or not is_retryable(sent, answer.status_code):
                    return answer
                fault = answer.status_code
                asked_for = retry_after(answer.headers, self._clock)
                answer.close()
                if fault == 429 and asked_for is not None:
                    host.block_for(path, asked_for)
            if attempt + 1 < tries:
                wait = (asked_for or 0.0) + self._patience.backoff(attempt, self._clock)
                waited += self._sleep(wait, waited)
        # One that could not be reached gets one try a request from now on, until it answers.
        host.down = isinstance(fault, UNSENT_ERRORS)
        raise RetriesExhaustedError(describe_failure(fault) + (f", {tries} times in a row" if tries > 1 else ""))

    def link(self, url: str) -> LinkEstimate:
        """Return what the host of an address was measured to cost."""
        going = httpx2.URL(apply_mirrors(url, self._settings.mirrors))
        host = self._host(origin(str(going)))
        return host.gauge.estimate(self._patience.per_host, host.spacing(going.path), self._patience.gap)

    def close(self) -> None:
        self._inner.close()

    def _prepare_request(self, request: httpx2.Request) -> httpx2.Request:
        """The request as it goes out: to the mirror where there is one, with what only that origin may see."""
        asked = str(request.url)
        if request.url.scheme not in ("http", "https"):
            raise httpx2.UnsupportedProtocol(f"only http and https are followed, not {request.url.scheme}")
        going = apply_mirrors(asked, self._settings.mirrors)
        headers = request.headers.copy()
        headers.pop("Cookie", None)  # nothing here needs any, and they know no ports
        if origin(asked) != origin(going):
            headers.pop("Authorization", None)
            headers["Host"] = httpx2.URL(going).netloc.decode("ascii")
        variable = self._settings.auth.get(origin(going))
        if variable is not None and "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {secret(variable)}"
        return httpx2.Request(
            request.method, going, headers=headers, stream=request.stream, extensions=request.extensions
        )

    def _host(self, name: str) -> HostLimiter:
        with self._lock:
            return self._hosts.setdefault(name, HostLimiter(self._patience.per_host, self._clock))

    def _sleep(self, seconds: float, waited: float) -> float:
        if seconds <= 0:
            return 0.0
        if waited + seconds > self._patience.total_timeout:
            raise RetriesExhaustedError(f"asks to wait {seconds:.0f} s; run again later")
        self._cancellation.sleep(seconds)
        return seconds

    def _send(self, request: httpx2.Request, host: HostLimiter) -> httpx2.Response:
        """Send once; the host's turnstile is passed until the body is closed."""
        if not host.semaphore.acquire(timeout=self._patience.pool):
            raise httpx2.PoolTimeout("every connection to this host was busy for too long")
        try:
            self._count_request()
        except BaseException:
            host.semaphore.release()
            raise
        sent = self._clock.monotonic()
        host.gauge.on_request()
        try:
            answer = self._inner.handle_request(request)
        except BaseException:
            host.gauge.on_error()
            host.semaphore.release()
            raise
        assert isinstance(answer.stream, httpx2.SyncByteStream)
        body = _Body(answer.stream, self._meter(host, sent), host.semaphore.release)
        streamed = httpx2.Response(
            answer.status_code, headers=answer.headers, stream=body, extensions=answer.extensions
        )
        try:
            host.update_from_headers(request.url.path, answer.headers)
            return _read_whole_body(streamed) if _is_small(request, streamed) else streamed
        except BaseException:
            body.close()
            raise

    def _count_request(self) -> None:
        limit, most = self._settings.max_requests, self._settings.max_bytes
        with self._lock:
            if limit is not None and self.requests >= limit:
                raise BudgetExhaustedError(f"the budget of {limit} requests is used up; run again to go on")
            if most is not None and self.bytes_fetched >= most:
                raise BudgetExhaustedError(f"the budget of {most} bytes is used up; run again to go on")
            self.requests += 1

    def _meter(self, host: HostLimiter, sent: float) -> _Meter:
        def count(number: int) -> None:
            with self._lock:
                self.bytes_fetched += number

        return _Meter(host.gauge, self._clock, sent, count)


class _Meter:
    """Counts and times one body."""

    def __init__(self, gauge: LinkMeter, clock: Clock, sent: float, count: Callable[[int], None]) -> None:
        self._gauge = gauge
        self._clock = clock
        self._count = count
        now = clock.monotonic()
        gauge.on_response_start(now - sent, now)

    def came(self, number: int) -> None:
        self._count(number)
        self._gauge.on_bytes(number, self._clock.monotonic())

    def end(self) -> None:
        self._gauge.on_response_end(self._clock.monotonic())


class _Body(httpx2.SyncByteStream):
    """A body that is counted as it comes, and that opens the turnstile when it ends."""

    def __init__(self, stream: httpx2.SyncByteStream, meter: _Meter, left: Callable[[], None]) -> None:
        self._stream = stream
        self._meter = meter
        self._left: Callable[[], None] | None = left
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            self._meter.came(len(piece))
            yield piece

    def close(self) -> None:
        with self._lock:
            left, self._left = self._left, None
        if left is not None:
            self._meter.end()
            try:
                self._stream.close()
            finally:
                left()


def _is_small(request: httpx2.Request, answer: httpx2.Response) -> bool:
    if request.method == "HEAD" or answer.status_code == 206:
        return False
    return WHOLE in request.extensions or answer.headers.get("Content-Type", "").startswith("application/json")


def _read_whole_body(answer: httpx2.Response) -> httpx2.Response:
    """Read a body, still encoded as it was sent."""
    raw = bytearray()
    assert isinstance(answer.stream, httpx2.SyncByteStream)
    for piece in answer.stream:
        raw += piece
        if len(raw) > MAX_RESPONSE_BYTES:
            raise RetriesExhaustedError(f"the answer is larger than {MAX_RESPONSE_BYTES} bytes")
    answer.stream.close()
    return _copy_response(answer, httpx2.ByteStream(bytes(raw)))


def _copy_response(answer: httpx2.Response, body: httpx2.SyncByteStream) -> httpx2.Response:
    return httpx2.Response(answer.status_code, headers=answer.headers, stream=body, extensions=answer.extensions)
