"""How long a batch of checkpoints takes: as planned, with every gap and concurrency, and downloaded whole."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from range_crawl import IN_HAND, Knobs, crawl_batch, download, remote
from range_files import Written
from range_server import RangeServer
from ratios import Ratio

_GAPS: Final = (0, 64 * 1024, 1024 * 1024)
_PER_HOST: Final = (4, 16)
_AGAIN: Final = 2  # the fastest of the sweep are measured as often as the rest
_SECONDS: Final = 2.0  # shorter ones are noise
_TRIAL: Final = 1.0
_LONG: Final = 10.0  # runs as long as that are taken once: their noise is a small part of them
_WORSE: Final = 1.10
HEADER: Final = (
    "| model | format | copies | latency ms | planner s | best of sweep s | its gap / concurrency | download s "
    "| planner / best | planner / download |\n|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """The world of one measurement: seconds, bytes a second, and how often each time is taken."""

    latency: float
    bandwidth: float
    runs: int


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Medians in seconds, for a batch of so many copies."""

    written: Written
    line: Line
    copies: int
    planner: float
    best: float
    knobs: Knobs
    download: float

    def row(self) -> str:
        best = f"{self.knobs.joining} / {self.knobs.per_host}"
        return (
            f"| {self.written.model} | {self.written.form} | {self.copies} | {self.line.latency * 1e3:g} "
            f"| {self.planner:.2f} | {self.best:.2f} | {best} | {self.download:.2f} "
            f"| {self.planner / self.best:.2f} | {self.planner / self.download:.2f} |"
        )

    def ratios(self) -> Iterator[Ratio]:
        """Yield the seconds as planned against the best of the sweep and a download."""
        what = f"{self.written.model}, {self.written.form}, {self.line.latency * 1e3:g} ms, seconds as planned"
        yield Ratio(what=what, peer="the best of a sweep", value=self.planner / self.best, at_most=_WORSE)
        yield Ratio(what=what, peer="a download of all", value=self.planner / self.download, at_most=_WORSE)

    def broken(self) -> Iterator[str]:
        """Say which bounds do not hold."""
        what = f"{self.written.model} {self.written.form} at {self.line.latency * 1e3:g} ms"
        if self.planner > _WORSE * self.best:
            yield f"{what}: {self.planner:.2f} s as planned, {self.best:.2f} s at best; at most {_WORSE:.2f} times that"
        if self.planner > _WORSE * self.download:
            yield f"{what}: {self.planner:.2f} s as planned, {self.download:.2f} s for the whole; at most {_WORSE:.2f}"


def speed(written: Written, server: RangeServer, line: Line) -> Speed:
    """Measure one checkpoint, as a batch of copies whose crawl takes two seconds, and of as many as a run has in hand.

    The latter only where they can be downloaded in ten seconds: of long files one or two tell enough.
    """
    server.shape(latency=line.latency, bandwidth=line.bandwidth)
    few = [
        remote(written, server.url, copy) for copy in range(max(1, math.ceil(_TRIAL * line.bandwidth / written.size)))
    ]
    crawl_batch(few, "spatial", Knobs())  # the first one is slower
    batch = few[:1] * max(len(few), min(IN_HAND, int(_LONG * line.bandwidth / written.size)))
    taken = 0.0
    while taken < _SECONDS:  # many at a time are faster: their number is found by trying
        copies = len(batch) if taken == 0 else math.ceil(len(batch) * 1.1 * _SECONDS / taken)
        batch = [remote(written, server.url, copy) for copy in range(copies)]
        taken = _once(partial(crawl_batch, batch, "spatial", Knobs()))
    # Downloading takes so much longer that a part of the copies tells how long all take.
    part = batch[: max(1, math.ceil(_SECONDS * line.bandwidth / written.size))]

    def crawl(knobs: Knobs, runs: int) -> float:
        return _median(lambda: crawl_batch(batch, "spatial", knobs), runs)

    sweep = [Knobs(gap=gap, per_host=number) for gap in _GAPS for number in _PER_HOST]
    once = {knobs: crawl(knobs, 1) for knobs in sweep}
    again = sorted(sweep, key=once.__getitem__)[:_AGAIN]
    planner = crawl(Knobs(), line.runs)
    often = {knobs: crawl(knobs, line.runs) for knobs in again}
    best = min(again, key=often.__getitem__)
    return Speed(
        written=written,
        line=line,
        copies=copies,
        planner=planner,
        best=often[best],
        knobs=best,
        download=_median(lambda: download(part, Knobs().per_host), line.runs) * len(batch) / len(part),
    )


def _median(run: Callable[[], object], runs: int) -> float:
    first = _once(run)
    if first >= _LONG:
        return first
    return statistics.median([first, *(_once(run) for _ in range(runs - 1))])


def _once(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def lines(latencies: Sequence[float], bandwidth: float, runs: int) -> list[Line]:
    return [Line(latency=latency, bandwidth=bandwidth, runs=runs) for latency in latencies]
