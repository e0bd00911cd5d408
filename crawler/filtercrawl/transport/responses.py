"""What answers and failures of the network mean, as errors of this project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2

from filtercrawl.api.errors import AccessDeniedError, NetworkError, NotFoundError, UsageError
from filtercrawl.config.urls import origin, redact_url


def validate_url(url: str) -> str:
    """Return an http(s) URL without credentials; raises NetworkError for any other."""
    try:
        origin(url)
        named = "@" in urlsplit(url).netloc
    except (UsageError, ValueError) as error:
        raise NetworkError(f"{redact_url(url)}: only http and https URLs are fetched") from error
    if named:
        raise NetworkError(
            f'{redact_url(url)}: holds a user or password; put a token under [auth."{origin(url)}"] instead'
        )
    return url


@contextmanager
def map_http_errors(where: str) -> Iterator[None]:
    """Turn errors of the HTTP library into a NetworkError that says where."""
    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise NetworkError(f"{where}: {describe_failure(error)}") from error


def raise_for_status(answer: httpx2.Response, where: str) -> None:
    """Raise the NetworkError of an answer that is no success: GoneError, ForbiddenError or the base."""
    status = answer.status_code
    if status in (404, 410):
        raise NotFoundError(f"{where}: is not there (HTTP {status})")
    if status in (401, 403):
        place = origin(str(answer.url))
        raise AccessDeniedError(f'{where}: access is denied (HTTP {status}); [auth."{place}"] may name a token')
    if status >= 300:
        raise NetworkError(f"{where}: HTTP {status}")


def describe_failure(fault: int | Exception) -> str:
    """Say what went wrong in a few words."""
    if isinstance(fault, int):
        return f"HTTP {fault}"
    if isinstance(fault, httpx2.TimeoutException):
        return "no answer in time"
    if isinstance(fault, httpx2.TooManyRedirects):
        return "redirects without end"
    text = " ".join(str(fault).split()) or type(fault).__name__
    return re.sub(r"\?\S*", "", text)  # an address in it may be a signed one
