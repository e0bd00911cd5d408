"""What HTTP responses and failures mean: errors of this project, what to retry, `Retry-After`, `Content-Range`."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpx2

from filtercrawl.api.errors import AccessDeniedError, NetworkError, NotFoundError, UnreachableError, UsageError
from filtercrawl.config.urls import origin, redact_url

# Text of a timeout because of the minimum rate.
TOO_SLOW: Final = "the response comes too slowly"
# Statuses that a later attempt may turn into success.
TRANSIENT_STATUS: Final = frozenset({429, 500, 502, 503, 504})
TRANSIENT_ERRORS: Final = (
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    httpx2.ProxyError,
)
# The request never reached the server.
UNSENT_ERRORS: Final = (httpx2.ConnectError, httpx2.ConnectTimeout)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_UNSATISFIED_RANGE: Final = re.compile(r"bytes \*/(\d{1,18})")
_SHA256: Final = re.compile(r'"?([0-9a-f]{64})"?')


class RetriesExhaustedError(httpx2.TransportError):
    """Every attempt failed, or the server asks for a longer wait than allowed.

    Not one of the errors that huggingface_hub retries by itself: this request has been retried already.
    """


class HostUnreachableError(RetriesExhaustedError):
    """No attempt could open a connection, or none is made any more because earlier ones could not."""


class InvalidResponseError(Exception):
    """A response that is not what was asked for; another attempt may bring a better one."""


def validate_url(url: str) -> str:
    """Return an http(s) URL without credentials.

    Raises:
        NetworkError: The URL has another scheme, no host, or a user or password in it.
    """
    try:
        origin(url)
        has_credentials = "@" in urlsplit(url).netloc
    except (UsageError, ValueError) as error:
        raise NetworkError(f"{redact_url(url)}: only http and https URLs are fetched") from error
    if has_credentials:
        raise NetworkError(
            f'{redact_url(url)}: the URL contains a user or password; put a token under [auth."{origin(url)}"] instead'
        )
    return url


@contextmanager
def map_http_errors(where: str) -> Iterator[None]:
    """Turn errors of the HTTP library into a NetworkError that starts with `where`."""
    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise network_error(where, error) from error


def network_error(where: str, error: Exception) -> NetworkError:
    """Return the NetworkError for an error of the HTTP library; its text starts with `where`."""
    kind = UnreachableError if isinstance(error, HostUnreachableError) else NetworkError
    return kind(f"{where}: {describe_failure(error)}")


def raise_for_status(response: httpx2.Response, where: str) -> None:
    """Return if the response is a success.

    Raises:
        NotFoundError: HTTP 404 or 410.
        AccessDeniedError: HTTP 401 or 403.
        NetworkError: Any other status from 300 on.
    """
    status = response.status_code
    if status in (404, 410):
        raise NotFoundError(f"{where}: not found (HTTP {status})")
    if status in (401, 403):
        raise AccessDeniedError(
            f'{where}: access denied (HTTP {status}); name a token under [auth."{origin(str(response.url))}"]'
        )
    if status >= 300:
        raise NetworkError(f"{where}: HTTP {status}")


def describe_failure(failure: int | Exception) -> str:
    """Describe a status or an error in a few words that may be shown: the query of any URL is left out."""
    if isinstance(failure, int):
        return f"HTTP {failure}"
    if isinstance(failure, httpx2.TimeoutException):
        return TOO_SLOW if str(failure) == TOO_SLOW else "no response in time"
    if isinstance(failure, httpx2.TooManyRedirects):
        return "too many redirects"
    text = " ".join(str(failure).split()) or type(failure).__name__
    return re.sub(r"\?\S*", "", text)  # a URL in it may be signed


def is_retryable(request: httpx2.Request, failure: int | Exception) -> bool:
    """Tell whether a request may be sent again after a transient failure.

    Args:
        request: The request that failed.
        failure: The status of its response, or the error that was raised.
    """
    if isinstance(failure, Exception) and is_certificate_error(failure):
        return False
    if request.method in _SAFE_METHODS:
        return True
    # Refused or never sent, so that it had no effect; otherwise only the caller knows, and says so in the header.
    no_effect = failure == 429 or isinstance(failure, UNSENT_ERRORS) or "Idempotency-Key" in request.headers
    return no_effect and isinstance(request.stream, httpx2.ByteStream)


def is_certificate_error(error: BaseException | None) -> bool:
    """Tell whether an invalid certificate caused an error, so that another attempt is pointless."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait; None without one that can be read.

    Args:
        headers: The headers of a response.
        now: Seconds since the epoch, for a header that states an HTTP date.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    when = parse_http_date(value)
    return None if when is None else max(0.0, when.timestamp() - now)


def parse_http_date(value: str) -> datetime | None:
    """Return the moment that a header states, timezone-aware; None if it states none."""
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return when.replace(tzinfo=when.tzinfo or UTC)


def check_identity_encoding(response: httpx2.Response) -> None:
    """Raise InvalidResponseError unless the body consists of the file's own bytes."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise InvalidResponseError(f"the response is compressed ({encoding})")
    if response.headers.get("Content-Type", "").lower().startswith("multipart/"):
        raise InvalidResponseError("the response has several parts")


def parse_content_range(response: httpx2.Response, start: int, stop: int) -> tuple[int, str]:
    """Check the `Content-Range` of a 206 response against the requested bytes.

    Args:
        response: The response.
        start: First byte that was asked for.
        stop: End of the bytes that were asked for, exclusive.

    Returns:
        The offset in the file at which the body ends, exclusive, and the length of the file as the header states it,
        "*" where it is unknown.

    Raises:
        InvalidResponseError: The body does not begin at `start`, or ends after `stop`.
    """
    header = response.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(header)
    if match is None or int(match[1]) != start or int(match[2]) >= stop:
        raise InvalidResponseError(f"Content-Range {header!r} is not what was asked for")
    if int(match[2]) < start:
        raise InvalidResponseError(f"Content-Range {header!r} ends before it begins")
    return int(match[2]) + 1, match[3]


def length_from_unsatisfied_range(response: httpx2.Response) -> str:
    """Return the length of the file, as text, from a 416 response; raises InvalidResponseError if it has none."""
    match = _UNSATISFIED_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None:
        raise InvalidResponseError("HTTP 416")
    return match[1]


def linked_sha256(response: httpx2.Response) -> str | None:
    """Return the SHA-256 that the Hub states for a large file, in the response or in a redirect to it."""
    for hop in (response, *response.history):
        match = _SHA256.fullmatch(hop.headers.get("X-Linked-Etag", ""))
        if match is not None:
            return match[1]
    return None
