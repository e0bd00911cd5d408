"""The bytes of one remote file: ranges fetched exactly, resumed where they break, never of two versions of the file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import httpx2

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.errors import ChangedError, NetworkError
from filtercrawl.config.urls import redact_url
from filtercrawl.transport.body_writer import BodyWriter
from filtercrawl.transport.cache_entry import CacheEntry
from filtercrawl.transport.coalesce import Range, total_bytes
from filtercrawl.transport.content_range import (
    InvalidResponseError,
    check_identity_encoding,
    length_from_unsatisfied_range,
    linked_sha256,
    parse_content_range,
)
from filtercrawl.transport.context import FetchContext
from filtercrawl.transport.middleware import RetriesExhaustedError
from filtercrawl.transport.responses import describe_failure, raise_for_status

# What a try must bring to count as progress: a server that breaks after every byte must not hold us for ever.
_MIN_PROGRESS_BYTES: Final = 64 * 1024
_EXPIRED: Final = (401, 403, 404, 410)
_VERSION: Final = ("ETag", "Last-Modified")
_BROKEN: Final = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError, InvalidResponseError)


class RangeFetcher:
    """Fetches from one file into the cache. Thread-safe.

    size, sha256: None until the source or an answer tells, as the Hub's do of large files. bytes_read: received;
    requests: sent, redirects included. The address that a redirect led to is kept, and asked for anew at the original
    one when it has expired.
    """

    def __init__(
        self, file: RemoteFile, listed_at: str, context: FetchContext, cancellation: CancellationToken
    ) -> None:
        self.name = file.path or redact_url(file.url).rsplit("/", 1)[-1]
        self.size = file.size
        self.sha256 = file.sha256
        self.bytes_read = 0
        self.requests = 0
        self._file = file
        self._listed_at = listed_at
        self._means = context
        self._cancellation = cancellation
        self._where = f"{self.name} at {redact_url(file.url)}"
        self._led_to: str | None = None
        self._version: dict[str, str] = {}
        self._pieces: CacheEntry | None = None
        self._lasting = True
        self._outdated: ChangedError | None = None
        self._lock = threading.RLock()
        self._reading_whole = threading.Lock()
        if file.sha256 is not None:
            # What the file holds is known beforehand, and so which of it an earlier run has brought.
            self._pieces = context.cache.entry(self._address, {"sha256": file.sha256})
            self._version = self._pieces.version

    @property
    def address(self) -> str:
        """Where the bytes come from: behind the redirect, once one was followed."""
        return self._led_to or self._file.url

    @property
    def validated(self) -> bool:
        """Whether every answer was held against something that changes with the file."""
        return bool(self._version)

    @property
    def version(self) -> str | None:
        """What the server calls this version of the file; None where it says nothing, or only when it was changed."""
        tag = self._version.get("ETag", "")
        return tag if tag and not tag.startswith("W/") else None

    @property
    def ranges(self) -> tuple[Range, ...]:
        """What is here."""
        return () if self._pieces is None else self._pieces.ranges

    def missing(self, start: int, stop: int) -> tuple[Range, ...]:
        """Return what of a range is not here."""
        return ((start, stop),) if self._pieces is None else self._pieces.missing(start, stop)

    def read(self, start: int, stop: int) -> bytes | None:
        """Return bytes that are here, or None."""
        return None if self._pieces is None else self._pieces.read(start, stop)

    def fetch(self, start: int, stop: int, kept: Callable[[], None] = lambda: None) -> None:
        """Bring the bytes from `start` to `stop`, to the end of the file where that comes first.

        kept: called whenever some of them are here. A server that ignores ranges is read as a whole, once. Raises
        NetworkError, or ChangedError where the file is not what it was.
        """
        tries = 0
        while missing := self._still_missing(start, stop):
            if self._outdated is not None:
                raise self._outdated  # another request has noticed
            self._cancellation.raise_if_cancelled()
            sink = BodyWriter(missing[0][0], kept)
            broken: Exception | None = None
            try:
                self._means.cache.reserve(total_bytes(missing), self._where)
                self._request(sink, missing[-1][1])
            except _BROKEN as error:
                broken = error
            except ChangedError as error:
                self._outdated = error
                sink.restart()
                if self._pieces is not None:
                    self._pieces.discard()
                raise
            finally:
                self._means.cache.added(sink.flush())
            if broken is None and self.size == 0:
                return
            if broken is not None:
                progress = total_bytes(missing) - total_bytes(self._still_missing(start, stop))
                tries = 1 if progress >= _MIN_PROGRESS_BYTES else tries + 1
                if tries >= self._means.retry_policy.attempts:
                    raise NetworkError(f"{self._where}: {describe_failure(broken)}, {tries} times in a row") from broken
                self._cancellation.sleep(self._means.retry_policy.backoff(tries - 1, self._means.clock))

    def close(self) -> None:
        if self._pieces is not None:
            if not self._lasting:
                self._pieces.discard()
            self._pieces.close()

    @property
    def _address(self) -> str:
        """By what the cache knows the file: where it is listed, a signature left out where the version tells enough."""
        return redact_url(self._listed_at)

    def _still_missing(self, start: int, stop: int) -> tuple[Range, ...]:
        return self.missing(start, stop if self.size is None else min(stop, self.size))

    def _request(self, sink: BodyWriter, stop: int) -> None:
        """Ask once for the bytes from the sink's start up to `stop`; raises one of _BROKEN if it breaks."""
        at = sink.start
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={at}-{stop - 1}", **self._if_range()}
        with self._answer(headers) as answer:
            if answer.status_code == 416:
                self._empty(answer, at)
                return
            self._check(answer)
            if answer.status_code == 206:
                end = self._span(answer, at, stop)
                self._record_version(answer, sink)
                self._stream_body(answer, sink, end - at)
                if end < min(stop, self.size or end):
                    raise InvalidResponseError("less came than was asked for")
                return
            self._total(answer.headers.get("Content-Length", ""))
            if self._reading_whole.acquire(blocking=False):
                try:
                    self._whole(answer, sink)
                finally:
                    self._reading_whole.release()
                return
        with self._reading_whole:
            pass  # another request brings the whole file already; what it did not bring is asked for again

    @contextmanager
    def _answer(self, headers: dict[str, str]) -> Iterator[httpx2.Response]:
        """An answer with status 200, 206 or 416; any other is an error."""
        address = self._led_to
        try:
            with self._means.client.stream("GET", address or self._file.url, headers=headers) as answer:
                with self._lock:
                    self.requests += 1 + len(answer.history)
                status = answer.status_code
                if address is not None and status in _EXPIRED:
                    raise InvalidResponseError(f"HTTP {status} where a redirect led to")
                if status == 412:
                    raise self._changed()
                if status != 416:
                    raise_for_status(answer, self._where)
                    if status not in (200, 206):
                        raise InvalidResponseError(f"HTTP {status}")
                yield answer
        except (InvalidResponseError, RetriesExhaustedError) as error:
            self._led_to = None  # the next try asks at the original address, and may be led elsewhere
            if address is None and isinstance(error, RetriesExhaustedError):
                raise NetworkError(f"{self._where}: {describe_failure(error)}") from error
            raise InvalidResponseError(describe_failure(error)) from error
        except _BROKEN:
            raise
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise NetworkError(f"{self._where}: {describe_failure(error)}") from error

    def _if_range(self) -> dict[str, str]:
        known = self.version or self._version.get("Last-Modified", "")
        return {"If-Range": known} if known else {}

    def _check(self, answer: httpx2.Response) -> None:
        """Raise SpoiledError for bytes that are not the file's own, ChangedError for those of another version."""
        check_identity_encoding(answer)
        for header, before in self._version.items():
            if answer.headers.get(header, before) != before:
                raise self._changed()
        linked = linked_sha256(answer)
        if linked is not None and self.sha256 not in (None, linked):
            raise ChangedError(
                f"{self._where}: has sha256 {linked[:16]}... by its server, but {str(self.sha256)[:16]}... was said "
                "before; list it again"
            )
        self.sha256 = linked or self.sha256

    def _span(self, answer: httpx2.Response, at: int, stop: int) -> int:
        """Return where the body ends in the file."""
        end, length = parse_content_range(answer, at, stop)
        if length == "*" and self.size is None:
            raise NetworkError(f"{self._where}: the server does not tell how long the file is")
        self._total(length)
        return end

    def _empty(self, answer: httpx2.Response, at: int) -> None:
        """Take the answer that nothing lies where it was asked for: fine in an empty file alone."""
        length = length_from_unsatisfied_range(answer)
        self._total(length)
        if at < int(length):
            raise InvalidResponseError("HTTP 416 within the file")

    def _total(self, told: str) -> None:
        """Learn the file's length or compare it."""
        if not (told.isascii() and told.isdigit()):
            return
        with self._lock:
            if self.size is None:
                self.size = int(told)
        if self.size != int(told):
            raise ChangedError(
                f"{self._where}: has {int(told)} bytes, not {self.size} as was said before; list it again"
            )

    def _record_version(self, answer: httpx2.Response, sink: BodyWriter) -> None:
        """Remember which version of the file this is and where it was found; from now on there is a place for it."""
        with self._lock:
            if not self._version:
                self._version = {name: answer.headers[name] for name in _VERSION if name in answer.headers}
                if self._pieces is not None:
                    self._pieces.version = self._version
            if self._pieces is None:
                self._lasting = self.version is not None
                cache, told = self._means.cache, {"ETag": self.version or "", "size": str(self.size)}
                self._pieces = cache.entry(self._address, told) if self._lasting else cache.private()
            if answer.history:
                self._led_to = str(answer.url)
            sink.set_target(self._pieces)

    def _stream_body(self, answer: httpx2.Response, sink: BodyWriter, length: int | None) -> None:
        """Write a body to its sink; where its length is known it must be that."""
        came = 0
        for piece in answer.iter_raw():
            self._cancellation.raise_if_cancelled()
            came += len(piece)
            if length is not None and came > length:
                sink.restart()  # who lies about the length is not believed about the rest
                raise InvalidResponseError(f"more came than the {length} bytes that were announced")
            sink.write(piece)
            with self._lock:
                self.bytes_read += len(piece)
        if length is not None and came < length:
            raise InvalidResponseError(f"{came} bytes came of {length}")

    def _whole(self, answer: httpx2.Response, sink: BodyWriter) -> None:
        """Take a whole file from its beginning, whatever was asked for."""
        if self.size is not None:
            self._means.cache.reserve(self.size, self._where)
        sink.start = 0
        self._record_version(answer, sink)
        self._stream_body(answer, sink, self.size)
        self._total(str(sink.size))

    def _changed(self) -> ChangedError:
        return ChangedError(f"{self._where}: changed while it was read; run again")
