"""Plan the requests for the ranges of a file: coalesce across gaps, split large ranges, or fetch the whole file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from filtercrawl.transport.link_estimate import LinkEstimate

# (start, stop) in bytes, stop exclusive.
Range = tuple[int, int]

# Larger ranges are split: several connections then share them, and a broken connection costs little.
MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class FetchPlan:
    """What to fetch of a file.

    Attributes:
        ranges: Sorted, neither overlapping nor adjacent.
        is_full_file: Whether they are all that is missing of the file.
    """

    ranges: tuple[Range, ...]
    is_full_file: bool

    @property
    def bytes(self) -> int:
        """Bytes to fetch."""
        return total_bytes(self.ranges)


def plan_fetch(wanted: Iterable[Range], missing: Iterable[Range], link: LinkEstimate) -> FetchPlan:
    """Choose what to fetch of a file so that the wanted ranges arrive soonest.

    Args:
        wanted: Ranges that will be read, in any order, overlapping or not.
        missing: What of the file is not cached.
        link: Latency and bandwidth of the host.
    """
    gaps = normalize_ranges(missing)
    needed = intersection(normalize_ranges(wanted), gaps)
    ranges = coalesce(needed, gaps, link.gap)
    if not ranges or link.fixed_gap is not None:
        return FetchPlan(ranges=ranges, is_full_file=False)
    seconds = link.seconds(n_requests(ranges), total_bytes(ranges))
    # The whole file may cost the time of one request more: its hash can then be checked.
    is_full_file = link.seconds(n_requests(gaps), total_bytes(gaps)) <= seconds + link.request_cost_s
    return FetchPlan(ranges=gaps if is_full_file else ranges, is_full_file=is_full_file)


def coalesce(needed: Iterable[Range], missing: Iterable[Range], gap: int) -> tuple[Range, ...]:
    """Join ranges with at most `gap` missing bytes between them.

    Args:
        needed: Ranges to fetch, sorted and disjoint, each within one of `missing`.
        missing: What is not cached, sorted and disjoint; cached bytes are not fetched again.
        gap: Bytes.
    """
    joined: list[Range] = []
    holes = iter(missing)
    hole = next(holes, None)
    for start, stop in needed:
        while hole is not None and hole[1] <= start:
            hole = next(holes, None)
        in_same_hole = hole is not None and joined and hole[0] < joined[-1][1]
        if in_same_hole and start - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return tuple(joined)


def normalize_ranges(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sort ranges, join those that overlap or touch, and drop empty ones."""
    joined: list[Range] = []
    for start, stop in sorted(ranges):
        if stop <= start:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return tuple(joined)


def intersection(left: tuple[Range, ...], right: tuple[Range, ...]) -> tuple[Range, ...]:
    """Return the bytes that are in both; each side is sorted and disjoint."""
    common: list[Range] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, stop = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < stop:
            common.append((start, stop))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(common)


def subtract(ranges: tuple[Range, ...], removed: tuple[Range, ...]) -> tuple[Range, ...]:
    """Return the bytes of `ranges` that are not in `removed`; each is sorted and disjoint."""
    rest: list[Range] = []
    j = 0
    for start, stop in ranges:
        position = start
        while j < len(removed) and removed[j][1] <= position:
            j += 1
        i = j
        while i < len(removed) and removed[i][0] < stop:
            if removed[i][0] > position:
                rest.append((position, removed[i][0]))
            position = max(position, removed[i][1])
            i += 1
        if position < stop:
            rest.append((position, stop))
    return tuple(rest)


def total_bytes(ranges: Iterable[Range]) -> int:
    """Return the sum of the lengths of ranges, in bytes."""
    return sum(stop - start for start, stop in ranges)


def n_requests(ranges: Iterable[Range]) -> int:
    """Return how many requests ranges take; large ones are split."""
    return sum(-(-(stop - start) // MAX_REQUEST_BYTES) for start, stop in ranges)
