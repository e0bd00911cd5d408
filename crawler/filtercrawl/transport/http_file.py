"""A remote file read by byte range: what is wanted comes in the background, what is not foreseen step by step."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.range_file import check_range
from filtercrawl.transport.coalesce import Range
from filtercrawl.transport.context import FetchContext
from filtercrawl.transport.link_model import LinkEstimate
from filtercrawl.transport.prefetcher import Prefetcher
from filtercrawl.transport.range_fetcher import RangeFetcher
from filtercrawl.transport.readahead import ReadAhead

_HEAD: Final = 64 * 1024
# Most files of these names are archives, whose directory stands at the end.
_ARCHIVES: Final = (".pt", ".pth", ".bin", ".ckpt", ".npz", ".zip")
# A zip archive's last record with the longest comment, and before it what leads to a large directory.
_TAIL: Final = 65_535 + 22 + 20
# Seconds of a trip from which on a request that may be of no use is worth it.
_HIGH_LATENCY_SECONDS: Final = 0.01


class HttpFile:
    """Implements `filtercrawl.api.transport.OpenedFile`. Thread-safe."""

    def __init__(self, file: RemoteFile, listed_at: str, context: FetchContext) -> None:
        self._cancellation = context.cancellation.child()
        self._remote = RangeFetcher(file, listed_at, context, self._cancellation)
        self._fetching = Prefetcher(self._remote, context, self._cancellation, self._costs)
        self._means = context
        self._walk: ReadAhead | None = None
        self._lock = threading.RLock()
        self.name = self._remote.name

    @property
    def size(self) -> int:
        """Length in bytes; asks the server where the source did not tell."""
        if self._remote.size is None:
            with self._lock:
                if self._remote.size is None:
                    self._remote.fetch(0, _HEAD)
        assert self._remote.size is not None
        return self._remote.size

    @property
    def sha256(self) -> str | None:
        """The file's sha256 as its source or its server states it; asks nothing."""
        return self._remote.sha256

    @property
    def bytes_read(self) -> int:
        """Bytes received from the server."""
        return self._remote.bytes_read

    @property
    def requests(self) -> int:
        """Requests sent for this file, redirects included."""
        return self._remote.requests

    @property
    def fetched_in_full(self) -> bool:
        """Whether the whole file is here, or on its way."""
        return self._remote.size is not None and not self._fetching.unwanted()

    @property
    def validated(self) -> bool:
        """Whether every answer was held against something that changes with the file."""
        return self._remote.validated

    @property
    def version(self) -> str | None:
        """What the server calls this version of the file: its strong ETag."""
        return self._remote.version

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`.

        Raises TruncatedError past the end, NetworkError, and ChangedError where the file is not what it was.
        """
        check_range(self, offset, length)
        if length == 0:
            return b""
        while (data := self._remote.read(offset, offset + length)) is None:
            self._fetching.wait_for(offset, offset + length, self._ahead)
            check_range(self, offset, length)  # the first answer may have told another size
        return data

    def prefetch(self, ranges: Sequence[Range]) -> None:
        """Begin to bring what will be read; returns at once. Nothing, where not even the file's length is known yet."""
        size = self._remote.size
        self._means.active_readers.remove(self)
        if size is not None:
            self._fetching.prefetch([(max(start, 0), min(stop, size)) for start, stop in ranges])

    def hint_seeks(self, number: int, wanted: float) -> None:
        """Learn over about how many long stretches a reader on its way will still jump; see `ranges.SequentialScan`."""
        with self._lock:
            if self._walk is not None:
                self._walk.hint_seeks(number, wanted)

    def check_unchanged(self) -> None:
        """Nothing to do: every answer was held against the version that the first one was of."""

    def close(self) -> None:
        self._means.active_readers.remove(self)
        self._cancellation.cancel()
        self._fetching.close()
        self._remote.close()

    def _ahead(self, start: int, stop: int) -> int:
        with self._lock:
            if self._walk is None:
                self._walk = ReadAhead(self.size)
                self._means.active_readers.add(self)
                if start == 0:
                    self._prefetch_tail()
            return self._walk.next_end(start, stop, self._means.active_readers.shared_link(self._costs()))

    def _prefetch_tail(self) -> None:
        """Ask for an archive's directory while its head is on its way, where a trip is worth more than a guess."""
        link = self._costs()
        far = link.round_trip_s > _HIGH_LATENCY_SECONDS and link.fixed_gap is None
        if far and self.name.lower().endswith(_ARCHIVES) and self.size > _HEAD + _TAIL:
            self._fetching.prefetch([(self.size - _TAIL, self.size)])

    def _costs(self) -> LinkEstimate:
        return self._means.link(self._remote.address)
