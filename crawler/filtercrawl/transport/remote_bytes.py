"""The bytes of one remote file: exact ranges, resumed where they break, never of two versions of the file."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import httpx2

from filtercrawl.errors import ChangedError, NetworkError
from filtercrawl.transport.address import shown
from filtercrawl.transport.answers import described, refuse
from filtercrawl.transport.polite import GaveUpError
from filtercrawl.transport.retry import Clock, Patience
from filtercrawl.transport.spool import Spool

_SPAN: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_NOTHING: Final = re.compile(r"bytes \*/(\d{1,18})")
# What a try must bring to count as progress: a server that breaks after every byte must not hold us for ever.
_PROGRESS: Final = 64 * 1024
_EXPIRED: Final = (401, 403, 404, 410)


class SpoiledError(Exception):
    """An answer that is not what was asked for; another try may bring a better one."""


_BROKEN: Final = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError, SpoiledError)


class Sink(Protocol):
    """Where a body goes: it grows at its end, so that what broke is resumed there."""

    size: int

    def write(self, data: bytes) -> None: ...

    def restart(self) -> None: ...


class _Memory:
    def __init__(self) -> None:
        self.data = bytearray()
        self.size = 0

    def write(self, data: bytes) -> None:
        self.data += data
        self.size = len(self.data)

    def restart(self) -> None:
        self.data.clear()
        self.size = 0


class RemoteBytes:
    """Fetches from one file. Thread-safe.

    size: None until the source or an answer tells. bytes_read: received. spool: the whole file, once it was fetched.
    The address that a redirect led to is kept, and asked for anew at the original one when it has expired.
    """

    def __init__(
        self, client: httpx2.Client, url: str, name: str, size: int | None, patience: Patience, clock: Clock
    ) -> None:
        self.size = size
        self.bytes_read = 0
        self.spool: Spool | None = None
        self._client = client
        self._url = url
        self._name = name
        self._where = f"{name} at {shown(url)}"
        self._patience = patience
        self._clock = clock
        self._led_to: str | None = None
        self._version: dict[str, str] = {}
        self._lock = threading.Lock()
        self._spooling = threading.Lock()

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`, to the end of the file where that comes first.

        A server that ignores ranges is read as a whole, into a temporary file. Raises NetworkError, or ChangedError
        where the file is not what it was.
        """
        sink = _Memory()
        if self.spool is None:
            self._fill(sink, start, stop)
        if self.spool is not None:
            return self.spool.read(start, min(stop, self.spool.size) - start)
        return bytes(sink.data)

    def download(self) -> Spool:
        """Fetch the whole file into a temporary one: one request, where nothing breaks. Raises as `fetch` does."""
        with self._spooling:
            if self.spool is None:
                spool = Spool(self._name)
                self._fill(spool, 0, None)
                self.spool = spool
            return self.spool

    def close(self) -> None:
        if self.spool is not None:
            self.spool.close()

    def _fill(self, sink: Sink, start: int, stop: int | None) -> None:
        """Try until all is there, or until tries without progress are used up."""
        tries = 0
        while True:
            before = sink.size
            try:
                self._ask(sink, start, stop)
            except _BROKEN as error:
                tries = 1 if sink.size - before >= _PROGRESS else tries + 1
                if tries >= self._patience.attempts:
                    raise NetworkError(f"{self._where}: {described(error)}, {tries} times in a row") from error
                self._clock.sleep(self._patience.backoff(tries - 1, self._clock))
            else:
                return

    def _ask(self, sink: Sink, start: int, stop: int | None) -> None:
        """Ask once for what is missing between `start` and `stop`, or the end; raises one of _BROKEN if it breaks."""
        at = start + sink.size
        headers = {"Accept-Encoding": "identity"}
        if stop is not None or at:
            headers["Range"] = f"bytes={at}-" + ("" if stop is None else str(stop - 1))
            headers |= self._if_range()
        with self._answer(headers) as answer:
            status = answer.status_code
            if status == 416:
                self._empty(answer, at)
                return
            self._check(answer)
            if status == 206:
                end = self._span(answer, at, stop)
                self._learn(answer)
                self._pour(answer, sink, end - at)
                if end < min(stop or end, self.size or end) or (stop is None and end != self.size):
                    raise SpoiledError("less came than was asked for")
                return
            length = answer.headers.get("Content-Length", "")
            self._total(length)
            self._learn(answer)
            if stop is None:
                self._whole(answer, sink)
                return
        self.download()

    @contextmanager
    def _answer(self, headers: dict[str, str]) -> Iterator[httpx2.Response]:
        """An answer with status 200, 206 or 416; any other is an error."""
        address = self._led_to
        try:
            with self._client.stream("GET", address or self._url, headers=headers) as answer:
                status = answer.status_code
                if address is not None and status in _EXPIRED:
                    raise SpoiledError(f"HTTP {status} where a redirect led to")
                if status == 412:
                    raise self._changed()
                if status != 416:
                    refuse(answer, self._where)
                    if status not in (200, 206):
                        raise SpoiledError(f"HTTP {status}")
                yield answer
        except (SpoiledError, GaveUpError) as error:
            self._led_to = None  # the next try asks at the original address, and may be led elsewhere
            if address is None and isinstance(error, GaveUpError):
                raise NetworkError(f"{self._where}: {described(error)}") from error
            raise SpoiledError(described(error)) from error
        except _BROKEN:
            raise
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise NetworkError(f"{self._where}: {described(error)}") from error

    def _if_range(self) -> dict[str, str]:
        tag = self._version.get("ETag", "")
        known = self._version.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag
        return {"If-Range": known} if known else {}

    def _check(self, answer: httpx2.Response) -> None:
        """Raise SpoiledError for bytes that are not the file's own, ChangedError for those of another version."""
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise SpoiledError(f"the bytes come compressed ({encoding})")
        if answer.headers.get("Content-Type", "").lower().startswith("multipart/"):
            raise SpoiledError("the bytes come in several parts")
        for header, before in self._version.items():
            if answer.headers.get(header, before) != before:
                raise self._changed()

    def _span(self, answer: httpx2.Response, at: int, stop: int | None) -> int:
        """Return where the body ends in the file."""
        told = answer.headers.get("Content-Range", "")
        match = _SPAN.fullmatch(told)
        if match is None or int(match[1]) != at or (stop is not None and int(match[2]) >= stop):
            raise SpoiledError(f"Content-Range {told!r} is not what was asked for")
        if int(match[2]) < at:
            raise SpoiledError(f"Content-Range {told!r} ends before it begins")
        if match[3] != "*":
            self._total(match[3])
        elif self.size is None:
            raise NetworkError(f"{self._where}: the server does not tell how long the file is")
        return int(match[2]) + 1

    def _empty(self, answer: httpx2.Response, at: int) -> None:
        """Take the answer that nothing lies where it was asked for: fine in an empty file alone."""
        match = _NOTHING.fullmatch(answer.headers.get("Content-Range", ""))
        if match is None:
            raise SpoiledError("HTTP 416")
        self._total(match[1])
        if at < int(match[1]):
            raise SpoiledError("HTTP 416 within the file")

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

    def _learn(self, answer: httpx2.Response) -> None:
        """Remember which version of the file this is and where it was found."""
        with self._lock:
            if not self._version:
                self._version = {
                    name: answer.headers[name] for name in ("ETag", "Last-Modified") if name in answer.headers
                }
            if answer.history:
                self._led_to = str(answer.url)

    def _pour(self, answer: httpx2.Response, sink: Sink, length: int | None) -> None:
        """Write a body of a known length to its sink."""
        came = 0
        for piece in answer.iter_raw():
            came += len(piece)
            if length is not None and came > length:
                sink.restart()  # who lies about the length is not believed about the rest
                raise SpoiledError(f"more came than the {length} bytes that were announced")
            sink.write(piece)
            with self._lock:
                self.bytes_read += len(piece)
        if length is not None and came < length:
            raise SpoiledError(f"{came} bytes came of {length}")

    def _whole(self, answer: httpx2.Response, spool: Sink) -> None:
        """Write a whole file from its beginning, whatever came before."""
        spool.restart()
        if self.size is not None and isinstance(spool, Spool):
            spool.expect(self.size)
        self._pour(answer, spool, self.size)
        self._total(str(spool.size))

    def _changed(self) -> ChangedError:
        return ChangedError(f"{self._where}: changed while it was read; run again")
