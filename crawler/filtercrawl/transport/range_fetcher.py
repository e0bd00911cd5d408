"""Download ranges of one remote file into the cache: resumed where they break, never of two versions of the file."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpx2

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.errors import ChangedError, NetworkError
from filtercrawl.config.urls import redact_url
from filtercrawl.transport.body_writer import BodyWriter
from filtercrawl.transport.cache_entry import CacheEntry
from filtercrawl.transport.range_cache import RangeCache
from filtercrawl.transport.range_planning import Range, total_bytes
from filtercrawl.transport.redirects import SERVER, Server, named_by
from filtercrawl.transport.remote_version import RemoteVersion
from filtercrawl.transport.responses import (
    InvalidResponseError,
    RetriesExhaustedError,
    check_identity_encoding,
    describe_failure,
    length_from_unsatisfied_range,
    network_error,
    parse_content_range,
    raise_for_status,
)
from filtercrawl.transport.retry import Clock, RetryPolicy, WaitBudget, WaitLimitExceededError

logger = logging.getLogger(__name__)

# Bytes that a failed attempt must have brought to count as progress: a server that breaks after every byte must not
# be retried forever.
_MIN_PROGRESS_BYTES: Final = 64 * 1024
# Statuses of a signed URL, to which a redirect led, that has expired.
_EXPIRED: Final = (401, 403, 404, 410)
_BROKEN: Final = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError, InvalidResponseError)


@dataclass(frozen=True, kw_only=True)
class FetchContext:
    """Dependencies of all downloads of a run."""

    client: httpx2.Client
    cache: RangeCache
    retry_policy: RetryPolicy
    on_retry: Callable[[str], Callable[[Exception, float], None]]
    clock: Clock


class RangeFetcher:
    """Downloads from one file into the cache. Thread-safe.

    The URL that a redirect led to is kept for further requests; the original one is asked again when it has expired.

    Attributes:
        name: Path of the file within its checkpoint, or the last part of its URL.
        version: Size, hash and validators of the file; every response is compared with it.
        bytes_read: Bytes received, those received twice included.
        requests: Requests sent, redirects included.
    """

    def __init__(
        self, file: RemoteFile, listed_at: str, context: FetchContext, cancellation: CancellationToken
    ) -> None:
        """Open the cache entry where the source states a SHA-256; otherwise the first response decides on it.

        Args:
            file: The file to download.
            listed_at: The URL that identifies the file in the cache.
            context: Client, cache and retry policy.
            cancellation: Ends downloads; cancelled when the file is closed.
        """
        self.name = file.path or redact_url(file.url).rsplit("/", 1)[-1]
        self.bytes_read = 0
        self.requests = 0
        self._where = f"{self.name} at {redact_url(file.url)}"
        self.version = RemoteVersion(self._where, file.size, file.sha256)
        self._file = file
        # A signature is left out: the version distinguishes the contents.
        self._cache_key = redact_url(listed_at)
        self._context = context
        self._cancellation = cancellation
        self._redirected_url: str | None = None
        self._redirected_by: Server | None = None
        self._entry: CacheEntry | None = None
        self._reusable = True
        self._outdated: ChangedError | None = None
        self._lock = threading.RLock()
        self._downloading_whole = threading.Lock()
        if file.sha256 is not None:
            self._entry = context.cache.entry(self._cache_key, {"sha256": file.sha256})
            self.version.validators = self._entry.version

    @property
    def size(self) -> int | None:
        """Length in bytes; None until the source or a response states it."""
        return self.version.size

    @property
    def url(self) -> str:
        """The URL that the bytes come from: that of the redirect once one was followed."""
        return self._redirected_url or self._file.url

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The ranges that are in the cache."""
        return () if self._entry is None else self._entry.ranges

    def missing(self, start: int, stop: int) -> tuple[Range, ...]:
        """Return the parts of a range that are not in the cache."""
        return ((start, stop),) if self._entry is None else self._entry.missing(start, stop)

    def read(self, start: int, stop: int) -> bytes | None:
        """Return bytes from the cache; None where some are missing."""
        return None if self._entry is None else self._entry.read(start, stop)

    def fetch(self, start: int, stop: int, on_chunk: Callable[[], None] = lambda: None) -> None:
        """Download the missing bytes from `start` to `stop`, or to the end of the file where that comes first.

        A server that ignores ranges is read as a whole, once.

        Args:
            start: First byte.
            stop: End of the range, exclusive.
            on_chunk: Called whenever more bytes are in the cache.

        Raises:
            NetworkError: The server cannot be reached or refuses, or the disk is full.
            ChangedError: The file is not the version that was listed or read before.
            Cancelled: The run is to end, or the file was closed.
        """
        n_missing = 0  # before the last request

        def request_missing() -> None:
            nonlocal n_missing
            while missing := self._missing_of_file(start, stop):
                n_missing = total_bytes(missing)
                self._request(missing[0][0], missing[-1][1], n_missing, on_chunk)
                if self.size == 0:
                    return

        def made_progress() -> bool:
            return n_missing - total_bytes(self._missing_of_file(start, stop)) >= _MIN_PROGRESS_BYTES

        policy = self._context.retry_policy
        try:
            policy.run(
                request_missing,
                retryable=lambda error: isinstance(error, _BROKEN),
                made_progress=made_progress,
                on_retry=self._context.on_retry(self._where),
                waits=WaitBudget(policy.total_timeout, self._cancellation),
                clock=self._context.clock,
            )
        except _BROKEN as error:
            raise NetworkError(f"{self._where}: {describe_failure(error)}, {policy.attempts} times in a row") from error
        except WaitLimitExceededError as error:
            raise NetworkError(f"{self._where}: {error}") from error

    def close(self) -> None:
        """Release the cache entry; delete it if no other run could tell which version it is of."""
        if self._entry is not None:
            if not self._reusable:
                self._entry.discard()
            self._entry.close()

    def _missing_of_file(self, start: int, stop: int) -> tuple[Range, ...]:
        return self.missing(start, stop if self.size is None else min(stop, self.size))

    def _request(self, start: int, stop: int, size: int, on_chunk: Callable[[], None]) -> None:
        """Send one request for a range of which `size` bytes are missing, and keep what it brings."""
        if self._outdated is not None:
            raise self._outdated  # a concurrent request has noticed
        self._cancellation.raise_if_cancelled()
        writer = BodyWriter(start, on_chunk)
        try:
            self._context.cache.reserve(size, self._where)
            self._download(writer, stop)
        except ChangedError as error:
            self._outdated = error
            writer.drop()
            if self._entry is not None:
                self._entry.discard()
            raise
        finally:
            self._context.cache.added(writer.flush())

    def _download(self, writer: BodyWriter, stop: int) -> None:
        """Request the bytes from the start of `writer` up to `stop`; raise one of _BROKEN if the transfer breaks."""
        start = writer.start
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{stop - 1}", **self.version.if_range}
        with self._response(headers) as response:
            if response.status_code == 416:
                self._check_empty(response, start)
                return
            check_identity_encoding(response)
            self.version.check(response)
            if response.status_code == 206:
                end, size = parse_content_range(response, start, stop)
                if size == "*" and self.size is None:
                    raise NetworkError(f"{self._where}: the server does not state how long the file is")
                self.version.check_size(size)
                self._record_version(response, writer)
                self._write_body(response, writer, end - start)
                if end < min(stop, self.size or end):
                    raise InvalidResponseError("the response is shorter than the range that was asked for")
                return
            self.version.check_size(response.headers.get("Content-Length", ""))
            if self._downloading_whole.acquire(blocking=False):
                try:
                    self._download_whole(response, writer)
                finally:
                    self._downloading_whole.release()
                return
        with self._downloading_whole:
            pass  # a concurrent request downloads the whole file; what it did not bring is requested again

    @contextmanager
    def _response(self, headers: dict[str, str]) -> Iterator[httpx2.Response]:
        """Send a request; yield a response with status 200, 206 or 416 and raise for any other."""
        redirected = self._redirected_url
        url, extensions = redirected or self._file.url, named_by(self._redirected_by if redirected else None)
        try:
            with self._context.client.stream("GET", url, headers=headers, extensions=extensions) as response:
                with self._lock:
                    self.requests += 1 + len(response.history)
                status = response.status_code
                if redirected is not None and status in _EXPIRED:
                    raise InvalidResponseError(f"HTTP {status} at the target of the redirect")
                if status == 412:
                    raise self.version.changed()
                if status != 416:
                    raise_for_status(response, self._where)
                    if status not in (200, 206):
                        raise InvalidResponseError(f"HTTP {status}")
                yield response
        except (InvalidResponseError, RetriesExhaustedError) as error:
            self._redirected_url = None  # the next attempt asks the original URL, and may be redirected elsewhere
            if redirected is None and isinstance(error, RetriesExhaustedError):
                raise network_error(self._where, error) from error
            raise InvalidResponseError(describe_failure(error)) from error
        except _BROKEN:
            raise
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise network_error(self._where, error) from error

    def _check_empty(self, response: httpx2.Response, start: int) -> None:
        """Accept that no byte lies in the range only if the file ends before it."""
        size = length_from_unsatisfied_range(response)
        self.version.check_size(size)
        if start < int(size):
            raise InvalidResponseError("HTTP 416 within the file")

    def _record_version(self, response: httpx2.Response, writer: BodyWriter) -> None:
        """Record which version this is and where it was found, and open its cache entry for the writer."""
        with self._lock:
            if self.version.record_validators(response) and self._entry is not None:
                self._entry.version = self.version.validators
            if self._entry is None:
                etag, cache = self.version.etag, self._context.cache
                self._reusable = etag is not None
                key = {"ETag": etag or "", "size": str(self.size)}
                self._entry = cache.entry(self._cache_key, key) if self._reusable else cache.private()
            if response.history:
                self._redirected_by = response.history[-1].extensions[SERVER]
                self._redirected_url = str(response.url)
            writer.set_target(self._entry)

    def _write_body(self, response: httpx2.Response, writer: BodyWriter, length: int | None) -> None:
        """Write a body to the cache; where its length in bytes is known it must be that."""
        received = 0
        for chunk in response.iter_raw():
            self._cancellation.raise_if_cancelled()
            received += len(chunk)
            if length is not None and received > length:
                writer.drop()  # the length was wrong, so the content may be as well
                raise InvalidResponseError(f"the response is longer than the {length} bytes that were announced")
            writer.write(chunk)
            with self._lock:
                self.bytes_read += len(chunk)
        if length is not None and received < length:
            raise InvalidResponseError(f"the response ended after {received} of {length} bytes")

    def _download_whole(self, response: httpx2.Response, writer: BodyWriter) -> None:
        """Keep a response that has the whole file whatever was asked for."""
        if self.size is not None:
            self._context.cache.reserve(self.size, self._where)
        writer.start = 0
        self._record_version(response, writer)
        self._write_body(response, writer, self.size)
        self.version.check_size(str(writer.size))
