"""Which requests bring the bytes that are wanted: gaps joined, large ranges split, or the whole file at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from filtercrawl.transport.link_model import LinkEstimate

Range = tuple[int, int]

# One request brings no more: several connections then share a large range, and a break costs little.
MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class FetchPlan:
    """What is to be fetched of a file. ranges: sorted and apart; is_full_file: they are all of the file that is
    missing.
    """

    ranges: tuple[Range, ...]
    is_full_file: bool

    @property
    def bytes(self) -> int:
        return sum(stop - start for start, stop in self.ranges)


def plan_fetch(wanted: Iterable[Range], missing: Iterable[Range], link: LinkEstimate) -> FetchPlan:
    """Return what to fetch of a file so that the ranges that are wanted come soonest.

    wanted: any (start, stop) in bytes, in any order, overlapping or not. missing: what of the file is not there yet.
    """
    holes = normalize_ranges(missing)
    needed = intersection(normalize_ranges(wanted), holes)
    ranges = coalesce(needed, holes, link.gap)
    if not ranges or link.fixed_gap is not None:
        return FetchPlan(ranges=ranges, is_full_file=False)
    parts, rest = n_requests(ranges), n_requests(holes)
    # The time of one request more is worth it: of the whole the hash is known.
    whole = link.seconds(rest, total_bytes(holes)) <= link.seconds(parts, total_bytes(ranges)) + link.request_cost_s
    return FetchPlan(ranges=holes if whole else ranges, is_full_file=whole)


def coalesce(needed: Iterable[Range], holes: Iterable[Range], gap: int) -> tuple[Range, ...]:
    """Join ranges whose missing bytes in between are at most `gap`; what is there already is not fetched again."""
    found: list[Range] = []
    spaces = iter(holes)
    space = next(spaces, None)
    for start, stop in needed:
        while space is not None and space[1] <= start:
            space = next(spaces, None)
        within = space is not None and found and space[0] < found[-1][1]
        if within and start - found[-1][1] <= gap:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return tuple(found)


def normalize_ranges(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sort ranges, and make one of those that overlap or touch; empty ones are dropped."""
    found: list[Range] = []
    for start, stop in sorted(ranges):
        if stop <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return tuple(found)


def intersection(some: tuple[Range, ...], others: tuple[Range, ...]) -> tuple[Range, ...]:
    """Return what lies in both; each is sorted and apart."""
    found: list[Range] = []
    i = j = 0
    while i < len(some) and j < len(others):
        start, stop = max(some[i][0], others[j][0]), min(some[i][1], others[j][1])
        if start < stop:
            found.append((start, stop))
        if some[i][1] < others[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def subtract(ranges: tuple[Range, ...], taken: tuple[Range, ...]) -> tuple[Range, ...]:
    """Return what of some ranges lies in none of others; each is sorted and apart."""
    found: list[Range] = []
    j = 0
    for start, stop in ranges:
        at = start
        while j < len(taken) and taken[j][1] <= at:
            j += 1
        i = j
        while i < len(taken) and taken[i][0] < stop:
            if taken[i][0] > at:
                found.append((at, taken[i][0]))
            at = max(at, taken[i][1])
            i += 1
        if at < stop:
            found.append((at, stop))
    return tuple(found)


def total_bytes(ranges: Iterable[Range]) -> int:
    return sum(stop - start for start, stop in ranges)


def n_requests(ranges: Iterable[Range]) -> int:
    """Count the requests that ranges take, large ones in several parts."""
    return sum(-(-(stop - start) // MAX_REQUEST_BYTES) for start, stop in ranges)
