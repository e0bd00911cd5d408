"""Download the ranges of one file that will be read, in the background, several at a time and each byte once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Final, Literal

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.transport.link_estimate import LinkEstimate
from filtercrawl.transport.range_fetcher import RangeFetcher
from filtercrawl.transport.range_planning import (
    MAX_REQUEST_BYTES,
    FetchPlan,
    Range,
    coalesce,
    intersection,
    n_requests,
    normalize_ranges,
    plan_fetch,
    subtract,
    total_bytes,
)

# A waiting thread looks this often, in seconds, whether the run was cancelled.
_POLL_SECONDS: Final = 1.0
# A read that reaches this many bytes further than asked for continues in the background.
_BACKGROUND_BYTES: Final = 1024 * 1024
# Files with more bytes than this to fetch queue for a bulk slot.
_BULK_BYTES: Final = 8 * 1024 * 1024
# Files that fill a connection together. Were all files downloaded at once, all would end at the same time, and nothing
# would be downloaded while the headers of the next ones are read.
MAX_CONCURRENT_FILES: Final = 4


class BulkQueue:
    """First-in, first-out queue that limits bulk downloads to a few files at a time. Thread-safe.

    Early files are then complete before later ones start. `start` functions are called without a lock held.
    """

    def __init__(self, max_concurrent: int = MAX_CONCURRENT_FILES) -> None:
        self._free = max_concurrent
        self._waiting: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()

    def submit(self, start: Callable[[], None]) -> None:
        """Call `start` now or when a slot is free; every start must be followed by one `release`."""
        with self._lock:
            if self._free == 0:
                self._waiting.append(start)
                return
            self._free -= 1
        start()

    def release(self) -> None:
        """Give a slot back; the file that has waited longest starts."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            start = self._waiting.popleft()
        start()


class DownloadPools:
    """Threads for background downloads, shared by all files of a run.

    Attributes:
        small: For small downloads, such as headers.
        bulk: For files with a bulk slot, which must not wait behind the headers of all the files after them.
        bulk_queue: Hands out the bulk slots.
    """

    def __init__(self, max_concurrent: int) -> None:
        """Create the pools; threads start with the first download.

        Args:
            max_concurrent: Requests to one host at a time.
        """
        self.small: Executor = ThreadPoolExecutor(2 * max_concurrent, "fetch")
        self.bulk: Executor = ThreadPoolExecutor(2 * max_concurrent, "bulk")
        self.bulk_queue = BulkQueue()

    def close(self) -> None:
        """Drop what is queued; return without waiting for the downloads in progress."""
        for pool in (self.small, self.bulk):
            pool.shutdown(wait=False, cancel_futures=True)


class Prefetcher:
    """Queue of the ranges of one file to download. Thread-safe.

    Ranges are coalesced as each request is made, by what the host was last measured to cost. The first error ends the
    queue: every reader that needs bytes that are missing gets that error.
    """

    def __init__(
        self,
        fetcher: RangeFetcher,
        pools: DownloadPools,
        cancellation: CancellationToken,
        link: Callable[[], LinkEstimate],
    ) -> None:
        """Create an empty queue.

        Args:
            fetcher: Downloads the ranges.
            pools: Threads to download in.
            cancellation: Ends the downloads; cancelled when the file is closed.
            link: Returns the present estimate of the host's latency and bandwidth.
        """
        self._fetcher = fetcher
        self._pools = pools
        self._cancellation = cancellation
        self._link = link
        self._bulk_slot: Literal["none", "queued", "held"] = "none"
        self._changed = threading.Condition()
        self._pending: tuple[Range, ...] = ()
        self._in_progress: list[Range] = []
        self._n_workers = 0
        self._error: BaseException | None = None

    def prefetch(self, ranges: Sequence[Range]) -> FetchPlan:
        """Start to download ranges, (start, stop) in bytes; return at once what was chosen to be downloaded."""
        with self._changed:
            plan = plan_fetch(ranges, self._unplanned(self._fetcher.missing(0, self._size)), self._link())
            start = self._enqueue(plan.ranges)
        start()
        return plan

    def unplanned(self) -> tuple[Range, ...]:
        """Return the parts of the file that are neither in the cache nor queued."""
        with self._changed:
            return self._unplanned(self._fetcher.missing(0, self._size))

    def wait_for(self, start: int, stop: int, read_ahead: Callable[[int, int], int]) -> None:
        """Return when the bytes from `start` to `stop` are in the cache.

        Args:
            start: First byte.
            stop: End of the range, exclusive.
            read_ahead: Returns where to end the download, given the first missing byte and `stop`; called for bytes
                that nothing downloads yet.

        Raises:
            NetworkError: The download failed.
            ChangedError: The file has changed.
            Cancelled: The run is to end, or the file was closed.
        """
        while True:
            with self._changed:
                missing = self._fetcher.missing(start, stop)
                if not missing:
                    return
                first = missing[0]
                if self._error is not None:
                    raise self._error
                self._cancellation.raise_if_cancelled()
                busy = normalize_ranges((*self._pending, *self._in_progress))
                expected = intersection((first,), busy)
                if expected and expected[0][0] == first[0]:
                    self._changed.wait(_POLL_SECONDS)
                    continue
                end = read_ahead(first[0], stop)
                if end - stop > _BACKGROUND_BYTES:  # the rest arrives while these bytes are read
                    proceed = self._enqueue(self._unplanned(self._fetcher.missing(first[0], end)))
                else:
                    later = (start for start, _ in (*busy, *self._fetcher.ranges) if start > first[0])
                    taken = (first[0], min((end, *later)))
                    self._in_progress.append(taken)
                    proceed = partial(self._download, taken)
            proceed()

    def close(self) -> None:
        """Drop what is queued and wait until the requests in progress have ended; cancel the token first."""
        with self._changed:
            self._pending = ()
            while self._in_progress:
                self._changed.wait(_POLL_SECONDS)

    @property
    def _size(self) -> int:
        assert self._fetcher.size is not None
        return self._fetcher.size

    def _enqueue(self, ranges: Sequence[Range]) -> Callable[[], None]:
        """Add ranges to the queue; return what starts their download, to be called without the lock."""
        if self._error is not None or self._cancellation.cancelled:
            return _do_nothing
        self._pending = normalize_ranges((*self._pending, *ranges))
        if self._bulk_slot == "queued":
            return _do_nothing
        if self._bulk_slot == "none" and total_bytes(self._pending) > _BULK_BYTES:
            self._bulk_slot = "queued"
            return partial(self._pools.bulk_queue.submit, self._on_bulk_slot)
        return self._start_workers

    def _on_bulk_slot(self) -> None:
        with self._changed:
            self._bulk_slot = "held"
            self._start_workers()
            is_done = self._release_bulk_slot()
        if is_done:
            self._pools.bulk_queue.release()

    def _start_workers(self) -> None:
        """Start as many workers as the host takes concurrent requests, and no more than there are requests."""
        with self._changed:
            pool = self._pools.bulk if self._bulk_slot == "held" else self._pools.small
            for _ in range(min(n_requests(self._pending), self._link().max_concurrent) - self._n_workers):
                pool.submit(self._worker)
                self._n_workers += 1

    def _release_bulk_slot(self) -> bool:
        """Return whether the slot has just become unused; the caller gives it back without the lock."""
        if self._bulk_slot != "held" or self._n_workers:
            return False
        self._bulk_slot = "none"
        return True

    def _unplanned(self, ranges: tuple[Range, ...]) -> tuple[Range, ...]:
        return subtract(ranges, normalize_ranges((*self._pending, *self._in_progress)))

    def _worker(self) -> None:
        """Make one request after the other until the queue is empty."""
        try:
            while (taken := self._take()) is not None:
                self._download(taken)
        except BaseException as error:  # noqa: BLE001 - raised in the threads that read the bytes
            with self._changed:
                self._error = self._error or error
                self._pending = ()
        finally:
            with self._changed:
                self._n_workers -= 1
                is_done = self._release_bulk_slot()
                self._changed.notify_all()
            if is_done:
                self._pools.bulk_queue.release()

    def _take(self) -> Range | None:
        """Take the next request from the queue; None if it is empty."""
        link = self._link()
        with self._changed:
            missing = subtract(self._fetcher.missing(0, self._size), normalize_ranges(self._in_progress))
            ranges = coalesce(intersection(self._pending, missing), missing, link.gap)
            if not ranges:
                self._pending = ()
                return None
            start, stop = ranges[0]
            taken = (start, min(stop, start + MAX_REQUEST_BYTES))
            self._pending = subtract(self._pending, ((0, taken[1]),))
            self._in_progress.append(taken)
            return taken

    def _download(self, taken: Range) -> None:
        try:
            self._cancellation.raise_if_cancelled()
            self._fetcher.fetch(*taken, on_chunk=self._notify)
        finally:
            with self._changed:
                self._in_progress.remove(taken)
                self._changed.notify_all()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _do_nothing() -> None:
    pass
