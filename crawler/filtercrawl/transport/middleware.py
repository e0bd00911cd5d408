"""HTTP middleware below the client: mirrors, credentials by origin, rate limits, retries and budgets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import httpx2

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import BudgetExhaustedError
from filtercrawl.config import NetworkSettings, secret
from filtercrawl.config.urls import apply_mirrors, origin, redact_url
from filtercrawl.transport.connections import NARROWEST_ZONE
from filtercrawl.transport.link_estimate import LinkEstimate
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.rate_limit import HostLimiter
from filtercrawl.transport.redirects import Redirects
from filtercrawl.transport.response_body import MeteredBody, limit_body, replace_body
from filtercrawl.transport.responses import (
    TRANSIENT_ERRORS,
    TRANSIENT_STATUS,
    UNSENT_ERRORS,
    HostUnreachableError,
    RetriesExhaustedError,
    describe_failure,
    is_certificate_error,
    is_retryable,
    parse_retry_after,
)
from filtercrawl.transport.retry import Clock, TransientError, WaitBudget, WaitLimitExceededError

logger = logging.getLogger(__name__)


class PolicyTransport(httpx2.BaseTransport):
    """An httpx2 transport that applies mirrors, credentials, rate limits, retries and budgets. Thread-safe.

    JSON responses are read here as a whole, so that a connection that breaks within one is retried like any other
    failure, for client libraries too that would not do so. Redirects are confined here, whoever follows them.

    Attributes:
        requests: Requests sent, retries and redirects included.
        retries: Failed requests that were tried again.
        bytes_fetched: Bytes of response bodies received, as sent (compressed).
    """

    def __init__(
        self,
        inner: httpx2.BaseTransport,
        settings: NetworkSettings,
        options: TransportOptions,
        cancellation: CancellationToken,
        clock: Clock,
    ) -> None:
        self.requests = 0
        self.retries = 0
        self.bytes_fetched = 0
        self._bytes_reported = 0
        self._inner = inner
        self._settings = settings
        self._options = options
        self._cancellation = cancellation
        self._clock = clock
        self._hosts: dict[str, HostLimiter] = {}
        self._lock = threading.Lock()
        self._redirects = Redirects(settings)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, with retries.

        Returns:
            The response, whatever its status.

        Raises:
            httpx2.TransportError: The request failed; RetriesExhaustedError after retries, HostUnreachableError if no
                connection could be opened.
            BudgetExhaustedError: The budget of requests or bytes is used up.
            UsageError: The token for the origin is not set.
        """
        asked, request = request, self._prepare_request(request)
        url = redact_url(str(request.url))
        host = self._host(origin(str(request.url)))
        host.check_reachable()
        # A host that could not be reached gets one attempt a request until it responds.
        policy = replace(self._options.retry, attempts=1) if host.failed_connections else self._options.retry
        waits = WaitBudget(policy.total_timeout, self._cancellation)
        n_unsent = count(1)

        def attempt() -> httpx2.Response:
            delay = host.reserve(request.url.path)
            if delay > 0:
                logger.debug("%s: waiting %.1f s for the rate limit", url, delay)
                waits.sleep(delay)
            response = self._send_connected(request, host, n_unsent, policy.attempts)
            host.record_connection()
            status = response.status_code
            if status not in TRANSIENT_STATUS or not is_retryable(request, status):
                return response
            retry_after = parse_retry_after(response.headers, self._clock.wall())
            response.close()
            if status == 429 and retry_after is not None:
                host.block_for(request.url.path, retry_after)
            raise TransientError(describe_failure(status), retry_after)

        def retryable(error: Exception) -> bool:
            return isinstance(error, TransientError) or (
                isinstance(error, TRANSIENT_ERRORS) and is_retryable(request, error)
            )

        try:
            on_retry = self.on_retry(url)
            response = policy.run(attempt, retryable=retryable, on_retry=on_retry, waits=waits, clock=self._clock)
            self._redirects.record(asked, response, request.url)
            return response
        except WaitLimitExceededError as error:
            raise RetriesExhaustedError(str(error)) from error
        except (TransientError, *TRANSIENT_ERRORS) as error:
            if not retryable(error):
                raise
            raise self._exhausted(error, host, policy.attempts) from error

    def on_retry(self, where: str) -> Callable[[Exception, float], None]:
        """Return what counts and logs a failed request before it is tried again, in so many seconds.

        Args:
            where: What is requested, without credentials.
        """

        def note(error: Exception, delay: float) -> None:
            with self._lock:
                self.retries += 1
            logger.debug("%s: %s; retry in %.1f s", where, describe_failure(error), delay)

        return note

    def link(self, url: str) -> LinkEstimate:
        """Return the measured latency and bandwidth of the host that serves a URL, its mirror where it has one."""
        mirrored = httpx2.URL(apply_mirrors(url, self._settings.mirrors))
        host = self._host(origin(str(mirrored)))
        return host.meter.estimate(self._options.max_concurrent, host.spacing(mirrored.path), self._options.fixed_gap)

    def close(self) -> None:
        self._inner.close()

    def _send_connected(
        self, request: httpx2.Request, host: HostLimiter, n_unsent: Iterator[int], attempts: int
    ) -> httpx2.Response:
        """Send once; say that a host cannot be reached when it is noticed, and attempt that less often.

        Args:
            request: The request.
            host: Its host.
            n_unsent: Counts the attempts of this request that could not open a connection.
            attempts: How often the request may be attempted.
        """
        try:
            return self._send(request, host)
        except UNSENT_ERRORS as error:
            if is_certificate_error(error):
                raise RetriesExhaustedError(describe_failure(error)) from error  # client libraries would try again
            if not is_retryable(request, error):
                raise
            n_failed = next(n_unsent)
            if n_failed >= min(attempts, self._options.connect_attempts):
                raise self._exhausted(error, host, n_failed) from error
            if host.announce_retry():
                logger.warning("%s cannot be reached (%s); trying again", host.name, describe_failure(error))
            raise

    def _exhausted(self, error: Exception, host: HostLimiter, attempts: int) -> RetriesExhaustedError:
        """Record what the last failed attempt says of the host, and return the error of the request."""
        reason = describe_failure(error)
        text = f"{reason}, {attempts} times in a row" if attempts > 1 else reason
        if not isinstance(error, UNSENT_ERRORS):
            host.record_connection()
            return RetriesExhaustedError(text)
        if host.record_failed_connection(reason, self._options.unreachable_limit):
            logger.warning("%s", host.given_up)
        return HostUnreachableError(text)

    def _prepare_request(self, request: httpx2.Request) -> httpx2.Request:
        """Return the request as it is sent: to the mirror, with the credentials of that origin only."""
        url = str(request.url)
        if request.url.scheme not in ("http", "https"):
            raise httpx2.UnsupportedProtocol(f"only http and https are followed, not {request.url.scheme}")
        mirrored = apply_mirrors(url, self._settings.mirrors)
        headers = request.headers.copy()
        headers.pop("Cookie", None)  # none is needed, and cookies are not bound to a port
        if origin(url) != origin(mirrored):
            headers.pop("Authorization", None)
            headers["Host"] = httpx2.URL(mirrored).netloc.decode("ascii")
        variable = self._settings.auth.get(origin(mirrored))
        if variable is not None and "Authorization" not in headers and self._redirects.may_have_token(request):
            headers["Authorization"] = f"Bearer {secret(variable)}"
        zone = self._redirects.narrowest_zone(request, httpx2.URL(mirrored))
        extensions = {**request.extensions, NARROWEST_ZONE: zone}
        return httpx2.Request(request.method, mirrored, headers=headers, stream=request.stream, extensions=extensions)

    def _host(self, name: str) -> HostLimiter:
        with self._lock:
            options = self._options
            return self._hosts.setdefault(name, HostLimiter(name, options.max_concurrent, self._clock, options.sharers))

    def _send(self, request: httpx2.Request, host: HostLimiter) -> httpx2.Response:
        """Send once; one of the host's connections is taken until the response is closed."""
        if not host.connections.acquire(timeout=self._options.pool_timeout):
            raise httpx2.PoolTimeout("every connection to this host was busy for too long")
        try:
            self._count_request()
        except BaseException:
            host.connections.release()
            raise
        sent = self._clock.monotonic()
        host.meter.on_request()
        try:
            response = self._inner.handle_request(request)
        except BaseException:
            host.meter.on_error()
            host.connections.release()
            raise
        received = self._clock.monotonic()
        logger.debug(
            "%s %s: HTTP %d after %.3f s",
            request.method,
            redact_url(str(request.url)),
            response.status_code,
            received - sent,
        )
        host.meter.on_response_start(received - sent, received)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        body = MeteredBody(response.stream, host, self._clock, self._count_bytes)
        metered = replace_body(response, body, decoded=False)
        try:
            host.update_from_headers(request.url.path, response.headers)
            return limit_body(request, metered)
        except BaseException:
            body.close()
            raise

    def _count_request(self) -> None:
        if self._options.admit is not None:
            with self._lock:
                n_new, self._bytes_reported = self.bytes_fetched - self._bytes_reported, self.bytes_fetched
            if not self._options.admit(n_new):
                raise BudgetExhaustedError("the budget of requests or bytes is used up; run again to continue")
        max_requests, max_bytes = self._settings.max_requests, self._settings.max_bytes
        with self._lock:
            if max_requests is not None and self.requests >= max_requests:
                raise BudgetExhaustedError(f"the budget of {max_requests} requests is used up; run again to continue")
            if max_bytes is not None and self.bytes_fetched >= max_bytes:
                raise BudgetExhaustedError(f"the budget of {max_bytes} bytes is used up; run again to continue")
            self.requests += 1

    def _count_bytes(self, n: int) -> None:
        with self._lock:
            self.bytes_fetched += n
