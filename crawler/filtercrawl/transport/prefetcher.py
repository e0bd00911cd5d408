"""Brings the wanted ranges of one file in the background, several at a time, each byte once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.transport.coalesce import (
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
from filtercrawl.transport.context import FetchContext
from filtercrawl.transport.link_model import LinkEstimate
from filtercrawl.transport.range_fetcher import RangeFetcher

_WAIT_SECONDS: Final = 1.0
_FAR: Final = 1024 * 1024
# Less than this waits for nobody's turn: it is here before it would be noticed.
_BULK_BYTES: Final = 8 * 1024 * 1024


class Prefetcher:
    """What of a file is wanted and what is under way. Thread-safe.

    Which ranges are joined is decided as each request is made, by what the host was last measured to cost. Who wants
    much waits for its turn. The first fault ends it: whoever needs bytes that are not there gets that fault.
    """

    def __init__(
        self,
        remote: RangeFetcher,
        context: FetchContext,
        cancellation: CancellationToken,
        link: Callable[[], LinkEstimate],
    ) -> None:
        self._remote = remote
        self._means = context
        self._cancellation = cancellation
        self._link = link
        self._turn: Literal["none", "asked", "had"] = "none"
        self._change = threading.Condition()
        self._pending: tuple[Range, ...] = ()
        self._under_way: list[Range] = []
        self._pumps = 0
        self._fault: BaseException | None = None

    def prefetch(self, ranges: Sequence[Range]) -> FetchPlan:
        """Begin to bring ranges; returns at once what was chosen to be fetched."""
        with self._change:
            chosen = plan_fetch(ranges, self._free(self._remote.missing(0, self._size)), self._link())
            begin = self._begin(chosen.ranges)
        begin()
        return chosen

    def unwanted(self) -> tuple[Range, ...]:
        """Return what of the file is neither here nor on its way."""
        with self._change:
            return self._free(self._remote.missing(0, self._size))

    def wait_for(self, start: int, stop: int, ahead: Callable[[int, int], int]) -> None:
        """Return when bytes `start` to `stop` are here, some of which are not; raises what went wrong.

        ahead: where to stop, given the first missing byte and `stop`; asked where nobody brings that byte yet.
        """
        while True:
            with self._change:
                missing = self._remote.missing(start, stop)
                if not missing:
                    return
                first = missing[0]
                if self._fault is not None:
                    raise self._fault
                self._cancellation.raise_if_cancelled()
                busy = normalize_ranges((*self._pending, *self._under_way))
                expected = intersection((first,), busy)
                if expected and expected[0][0] == first[0]:
                    self._change.wait(_WAIT_SECONDS)
                    continue
                end = ahead(first[0], stop)
                if end - stop > _FAR:  # much more than is waited for: it comes while what is here is read
                    proceed = self._begin(self._free(self._remote.missing(first[0], end)))
                else:
                    here = (start for start, _ in (*busy, *self._remote.ranges) if start > first[0])
                    taken = (first[0], min((end, *here)))
                    self._under_way.append(taken)
                    proceed = partial(self._fetch, taken)
            proceed()

    def close(self) -> None:
        """Drop what is queued and wait until the requests under way have ended; cancel the token first."""
        with self._change:
            self._pending = ()
            while self._under_way:
                self._change.wait(_WAIT_SECONDS)

    @property
    def _size(self) -> int:
        assert self._remote.size is not None
        return self._remote.size

    def _begin(self, ranges: Sequence[Range]) -> Callable[[], None]:
        """Put ranges into the queue; returns what starts to bring them, to be called without the lock."""
        if self._fault is not None or self._cancellation.cancelled:
            return _nothing
        self._pending = normalize_ranges((*self._pending, *ranges))
        if self._turn == "asked":
            return _nothing
        if self._turn == "none" and total_bytes(self._pending) > _BULK_BYTES:
            self._turn = "asked"
            return partial(self._means.bulk_queue.submit, self._on_bulk_slot)
        return self._start_workers

    def _on_bulk_slot(self) -> None:
        with self._change:
            self._turn = "had"
            self._start_workers()
            over = self._release_bulk_slot()
        if over:
            self._means.bulk_queue.release()

    def _start_workers(self) -> None:
        """Put as many pumps to the queue as the host takes requests."""
        with self._change:
            pool = self._means.bulk if self._turn == "had" else self._means.pool
            for _ in range(min(n_requests(self._pending), self._link().max_concurrent) - self._pumps):
                pool.submit(self._worker)
                self._pumps += 1

    def _release_bulk_slot(self) -> bool:
        if self._turn != "had" or self._pumps:
            return False
        self._turn = "none"
        return True

    def _free(self, ranges: tuple[Range, ...]) -> tuple[Range, ...]:
        return subtract(ranges, normalize_ranges((*self._pending, *self._under_way)))

    def _worker(self) -> None:
        """Make one request after the other until nothing is wanted."""
        try:
            while (taken := self._take()) is not None:
                self._fetch(taken)
        except BaseException as error:  # noqa: BLE001 - it is whoever needs the bytes that must hear of it
            with self._change:
                self._fault = self._fault or error
                self._pending = ()
        finally:
            with self._change:
                self._pumps -= 1
                over = self._release_bulk_slot()
                self._change.notify_all()
            if over:
                self._means.bulk_queue.release()

    def _take(self) -> Range | None:
        link = self._link()
        with self._change:
            missing = subtract(self._remote.missing(0, self._size), normalize_ranges(self._under_way))
            ranges = coalesce(intersection(self._pending, missing), missing, link.gap)
            if not ranges:
                self._pending = ()
                return None
            start, stop = ranges[0]
            taken = (start, min(stop, start + MAX_REQUEST_BYTES))
            self._pending = subtract(self._pending, ((0, taken[1]),))
            self._under_way.append(taken)
            return taken

    def _fetch(self, taken: Range) -> None:
        try:
            self._cancellation.raise_if_cancelled()
            self._remote.fetch(*taken, kept=self._notify)
        finally:
            with self._change:
                self._under_way.remove(taken)
                self._change.notify_all()

    def _notify(self) -> None:
        with self._change:
            self._change.notify_all()


def _nothing() -> None:
    pass
