"""A remote file read by byte range: announced ranges are prefetched, other reads fetch ahead step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.range_file import check_range
from filtercrawl.transport.link_estimate import LinkEstimate
from filtercrawl.transport.prefetcher import DownloadPools, Prefetcher
from filtercrawl.transport.range_fetcher import FetchContext, RangeFetcher
from filtercrawl.transport.range_planning import Range
from filtercrawl.transport.readahead import ActiveReaders, ReadAhead

_HEAD_BYTES: Final = 64 * 1024
# Most files of these names are zip archives, whose central directory is at the end.
_ARCHIVE_SUFFIXES: Final = (".pt", ".pth", ".bin", ".ckpt", ".npz", ".keras", ".zip")
# The last record of a zip archive with the longest comment, and the locator before it of a large central directory.
_TAIL_BYTES: Final = 65_535 + 22 + 20
# Seconds of latency from which on a request that may turn out useless is worth it.
_HIGH_LATENCY_SECONDS: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class FileContext:
    """Dependencies of all remote files of a run.

    Attributes:
        fetch: Client, cache and retry policy.
        pools: Threads for background downloads.
        link: Returns the measured latency and bandwidth of a URL's host.
        active_readers: The files that are being read step by step.
        cancellation: Ends every download of the run.
    """

    fetch: FetchContext
    pools: DownloadPools
    link: Callable[[str], LinkEstimate]
    active_readers: ActiveReaders
    cancellation: CancellationToken


class HttpFile:
    """Implements `filtercrawl.api.transport.OpenedFile`. Thread-safe."""

    def __init__(self, file: RemoteFile, listed_at: str, context: FileContext) -> None:
        """Open a file without a request.

        Args:
            file: The file to read.
            listed_at: The URL that identifies the file in the cache.
            context: Dependencies of all remote files.
        """
        self._cancellation = context.cancellation.child()  # closing the file ends its downloads alone
        self._fetcher = RangeFetcher(file, listed_at, context.fetch, self._cancellation)
        self._prefetcher = Prefetcher(self._fetcher, context.pools, self._cancellation, self._estimate_link)
        self._context = context
        self._readahead: ReadAhead | None = None
        self._lock = threading.RLock()
        self.name = self._fetcher.name

    @property
    def size(self) -> int:
        """Length in bytes; sends a request where the source did not state it."""
        if self._fetcher.size is None:
            with self._lock:
                if self._fetcher.size is None:
                    self._fetcher.fetch(0, _HEAD_BYTES)
        assert self._fetcher.size is not None
        return self._fetcher.size

    @property
    def sha256(self) -> str | None:
        """The SHA-256 that the source or the server states, None where neither does; sends no request."""
        return self._fetcher.version.sha256

    @property
    def bytes_read(self) -> int:
        """Bytes received from the server."""
        return self._fetcher.bytes_read

    @property
    def requests(self) -> int:
        """Requests sent for this file, redirects included."""
        return self._fetcher.requests

    @property
    def fetched_in_full(self) -> bool:
        """Whether the whole file is in the cache or queued."""
        return self._fetcher.size is not None and not self._prefetcher.unplanned()

    @property
    def validated(self) -> bool:
        """Whether every response was compared with a validator that changes with the file."""
        return bool(self._fetcher.version.validators)

    @property
    def version(self) -> str | None:
        """The strong ETag of the file; None where the server states none."""
        return self._fetcher.version.etag

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`.

        Raises:
            TruncatedError: The file ends before.
            NetworkError: The bytes cannot be downloaded.
            ChangedError: The file is not the version that was listed or read before.
            Cancelled: The run is to end, or the file was closed.
        """
        check_range(self, offset, length)
        if length == 0:
            return b""
        while (data := self._fetcher.read(offset, offset + length)) is None:
            self._prefetcher.wait_for(offset, offset + length, self._read_ahead_end)
            check_range(self, offset, length)  # the first response may have stated another size
        return data

    def prefetch(self, ranges: Sequence[Range]) -> None:
        """Start to download ranges that will be read; do nothing while the length of the file is unknown."""
        size = self._fetcher.size
        self._context.active_readers.remove(self)
        if size is not None:
            self._prefetcher.prefetch([(max(start, 0), min(stop, size)) for start, stop in ranges])

    def hint_seeks(self, n_seeks: int, reread: float) -> None:
        """Take over about how many long stretches will be skipped; see `range_file.SequentialScan`."""
        with self._lock:
            if self._readahead is not None:
                self._readahead.hint_seeks(n_seeks, reread)

    def check_unchanged(self) -> None:
        """Do nothing: every response was compared with the version of the first one."""

    def close(self) -> None:
        """End the downloads of this file and release its cache entry."""
        self._context.active_readers.remove(self)
        self._cancellation.cancel()
        self._prefetcher.close()
        self._fetcher.close()

    def _read_ahead_end(self, start: int, stop: int) -> int:
        with self._lock:
            if self._readahead is None:
                self._readahead = ReadAhead(self.size)
                self._context.active_readers.add(self)
                if start == 0:
                    self._prefetch_tail()
            link = self._context.active_readers.shared_link(self._estimate_link())
            return self._readahead.next_end(start, stop, link)

    def _prefetch_tail(self) -> None:
        """Request an archive's central directory along with its head, where the latency saved outweighs the guess."""
        link = self._estimate_link()
        is_far = link.round_trip_s > _HIGH_LATENCY_SECONDS and link.fixed_gap is None
        if is_far and self.name.lower().endswith(_ARCHIVE_SUFFIXES) and self.size > _HEAD_BYTES + _TAIL_BYTES:
            self._prefetcher.prefetch([(self.size - _TAIL_BYTES, self.size)])

    def _estimate_link(self) -> LinkEstimate:
        return self._context.link(self._fetcher.url)
