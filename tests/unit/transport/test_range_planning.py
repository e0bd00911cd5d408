"""Which requests are made for the bytes that are wanted, held against plain sets of bytes and what they cost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.transport.link_estimate import MIN_GAP, LinkEstimate, LinkMeter
from filtercrawl.transport.range_planning import (
    MAX_REQUEST_BYTES,
    coalesce,
    intersection,
    n_requests,
    normalize_ranges,
    plan_fetch,
    subtract,
    total_bytes,
)
from filtercrawl.transport.readahead import ReadAhead

MIB = 1024 * 1024
RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def as_set(ranges: object) -> set[int]:
    return {byte for start, stop in ranges for byte in range(start, stop)}  # type: ignore[attr-defined]


@given(RANGES, RANGES)
def test_ranges_are_sets_of_bytes(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    a, b = normalize_ranges(some), normalize_ranges(others)
    assert as_set(a) == as_set(some)
    assert as_set(intersection(a, b)) == as_set(a) & as_set(b)
    assert as_set(subtract(a, b)) == as_set(a) - as_set(b)
    for found in (a, intersection(a, b), subtract(a, b)):
        assert all(start < stop for start, stop in found)
        assert all(first[1] < second[0] for first, second in pairwise(found))
    assert total_bytes(a) == len(as_set(a))


@given(RANGES, RANGES, st.integers(0, 40))
def test_joined_ranges_hold_what_is_needed_and_nothing_that_is_here(
    some: list[tuple[int, int]], others: list[tuple[int, int]], gap: int
) -> None:
    holes = normalize_ranges(others)
    needed = intersection(normalize_ranges(some), holes)
    ranges = coalesce(needed, holes, gap)
    assert as_set(needed) <= as_set(ranges) <= as_set(holes)
    assert total_bytes(ranges) - total_bytes(needed) <= gap * max(len(needed) - len(ranges), 0)
    for (_, stop), (start, _) in pairwise(ranges):
        assert start - stop > gap or as_set([(stop, start)]) - as_set(holes)


@given(RANGES, RANGES, st.floats(0, 1), st.floats(1e5, 1e9))
def test_what_is_wanted_comes_and_what_is_here_does_not(
    some: list[tuple[int, int]], others: list[tuple[int, int]], latency: float, bandwidth: float
) -> None:
    missing = normalize_ranges(others)
    chosen = plan_fetch(some, missing, LinkEstimate(latency=latency, bandwidth=bandwidth))
    assert as_set(some) & as_set(missing) <= as_set(chosen.ranges) <= as_set(missing)
    assert not chosen.is_full_file or chosen.ranges == missing


def test_a_gap_is_joined_where_a_request_costs_more() -> None:
    wanted = [(0, MIB), (2 * MIB, 3 * MIB)]
    missing = [(0, 100 * MIB)]
    near, far = LinkEstimate(latency=0.001, bandwidth=50e6), LinkEstimate(latency=0.5, bandwidth=50e6)
    assert plan_fetch(wanted, missing, near).ranges == tuple(wanted)
    assert plan_fetch(wanted, missing, far).ranges == ((0, 3 * MIB),)
    close = [(0, MIB), (MIB + MIN_GAP, 2 * MIB)]  # less than any request costs
    assert plan_fetch(close, missing, near).ranges == ((0, 2 * MIB),)
    assert plan_fetch(close, missing, LinkEstimate(fixed_gap=0)).ranges == tuple(close)


def test_cached_bytes_between_two_ranges_are_not_fetched_again() -> None:
    wanted = ((0, 10), (12, 20))
    assert coalesce(wanted, [(0, 20)], gap=5) == ((0, 20),)
    assert coalesce(wanted, [(0, 11), (12, 20)], gap=5) == wanted


def test_a_fixed_gap_never_takes_the_whole_file() -> None:
    assert plan_fetch([(0, 99)], [(0, 100)], LinkEstimate()).is_full_file
    assert plan_fetch([(0, 99)], [(0, 100)], LinkEstimate(fixed_gap=0)).ranges == ((0, 99),)


def test_of_a_small_file_of_which_nothing_is_wanted_nothing_is_fetched() -> None:
    assert plan_fetch([], [(0, 100)], LinkEstimate()).ranges == ()


def test_large_ranges_take_several_requests() -> None:
    sizes = {0: 0, 1: 1, MAX_REQUEST_BYTES: 1, MAX_REQUEST_BYTES + 1: 2, 5 * MAX_REQUEST_BYTES - 1: 5}
    assert {size: n_requests([(7, 7 + size)]) for size in sizes} == sizes
    assert n_requests([(0, 1), (2, 3), (10, 10 + 2 * MAX_REQUEST_BYTES)]) == 4


def test_a_plan_says_how_much_it_fetches() -> None:
    found = plan_fetch([(0, 100), (50, 150), (MIB, MIB + 30)], [(20, 90), (100, 2 * MIB)], LinkEstimate(fixed_gap=9))
    assert found.ranges == ((20, 90), (100, 150), (MIB, MIB + 30))
    assert found.bytes == 70 + 50 + 30


def test_the_whole_file_may_cost_one_request_more() -> None:
    link = LinkEstimate(latency=1.0, bandwidth=1e6, max_concurrent=1)
    most = 50_000_000  # bytes that are wanted; what else of the file arrives in a second is taken with them
    assert plan_fetch([(0, most)], [(0, most + 1_000_000)], link).is_full_file
    assert not plan_fetch([(0, most)], [(0, most + 1_000_001)], link).is_full_file


def test_a_rate_limit_makes_requests_dear() -> None:
    wanted = [(number * 2 * MIB, number * 2 * MIB + 100) for number in range(10)]
    missing = [(0, 1000 * MIB)]
    free, scarce = LinkEstimate(latency=0.01), LinkEstimate(latency=0.01, spacing=0.5)
    assert len(plan_fetch(wanted, missing, free).ranges) == 10
    assert len(plan_fetch(wanted, missing, scarce).ranges) == 1


def test_on_a_fast_link_a_request_costs_what_making_it_takes() -> None:
    assert LinkEstimate(latency=0.0001, bandwidth=1e9).gap == 1_000_000
    assert LinkEstimate(latency=0.0001, bandwidth=50e6).gap == MIN_GAP


def test_a_file_is_taken_as_a_whole_where_that_is_no_slower() -> None:
    link = LinkEstimate(latency=0.02, bandwidth=50e6)
    missing = [(64 * 1024, 100 * MIB)]
    most = plan_fetch([(0, 100 * MIB - 1000)], missing, link)
    assert most.is_full_file
    assert most.ranges == tuple(missing)
    # Of one that is nearly all wanted, the rest is not fetched: that is faster, if not by much.
    assert not plan_fetch([(0, 95 * MIB)], missing, link).is_full_file
    scattered = [(number * 20_000, number * 20_000 + 100) for number in range(4000)]
    assert len(plan_fetch(scattered, [(0, 80 * MIB)], LinkEstimate(latency=0.3, bandwidth=50e6)).ranges) == 1
    assert not plan_fetch([(0, 95 * MIB)], missing, LinkEstimate(fixed_gap=0)).is_full_file
    assert plan_fetch([(0, 100)], [], link).ranges == ()
    assert MAX_REQUEST_BYTES >= MIB


def test_a_walk_reads_ahead_in_order_and_little_behind_a_jump() -> None:
    link = LinkEstimate(latency=0.001, bandwidth=50e6)
    walk = ReadAhead(1000 * MIB)
    stops = [walk.next_end(0, 8, link)]
    for _ in range(4):
        stops.append(walk.next_end(stops[-1], stops[-1] + 8, link))
    assert stops == [64 * 1024 * (2**n - 1) for n in range(1, 6)]
    assert walk.next_end(50 * MIB, 50 * MIB + 100, link) == 50 * MIB + 4 * 1024
    assert walk.next_end(70 * MIB, 73 * MIB, link) == 73 * MIB


def steps(size: int, spacing: int, link: LinkEstimate) -> tuple[int, int]:
    """Jump through a file in even steps; return the number of requests and of bytes."""
    walk, requests, came, here = ReadAhead(size), 0, 0, 0
    for at in range(0, size - 100, spacing):
        if at + 100 > here:
            start = max(at, here)
            here = walk.next_end(start, at + 100, link)
            requests, came = requests + 1, came + here - start
    return requests, came


def test_a_walk_over_short_steps_ends_in_one_reading() -> None:
    far = LinkEstimate(latency=0.1, bandwidth=50e6)
    requests, came = steps(21 * MIB, 300_000, far)
    assert requests <= 3
    assert came <= 21 * MIB
    requests, came = steps(346 * MIB, 7_000_000, far)  # more than arrives in one round trip: seeking pays
    assert requests >= 40
    assert came < 10 * MIB
    near = LinkEstimate(latency=0.001, bandwidth=50e6)
    assert steps(21 * MIB, 300_000, near)[1] < 2 * MIB
    shared = LinkEstimate(latency=0.02, bandwidth=50e6, n_streams=10)  # what others fetch makes jumping pay
    assert (
        steps(21 * MIB, 300_000, shared)[1]
        < 3 * MIB
        < steps(21 * MIB, 300_000, LinkEstimate(latency=0.02, bandwidth=50e6))[1]
    )


def test_a_walk_that_knows_how_many_jumps_follow_decides_at_the_first() -> None:
    for jumps, taken_whole in ((80, True), (3, False)):
        walk = ReadAhead(21 * MIB)
        far = LinkEstimate(latency=0.1, bandwidth=50e6, n_streams=6)
        here = walk.next_end(0, 8, far)
        walk.hint_seeks(jumps)
        assert (walk.next_end(here + MIB, here + MIB + 100, far) == 21 * MIB) is taken_whole
    # Where most is read afterwards, few jumps are too many.
    walk = ReadAhead(21 * MIB)
    here = walk.next_end(0, 8, far)
    walk.hint_seeks(3, 0.95)
    assert walk.next_end(here + MIB, here + MIB + 100, far) == 21 * MIB
    # Even steps of 20 kB at first would tell of a thousand jumps where only thirty follow.
    near = LinkEstimate(latency=0.02, bandwidth=50e6, n_streams=6)
    for jumps, came in ((None, 20 * MIB), (30, MIB)):
        walk, here, total = ReadAhead(21 * MIB), 0, 0
        if jumps is not None:
            walk.hint_seeks(jumps)
        for at in range(0, 600_000, 20_000):
            if at + 100 > here:
                start, here = max(at, here), walk.next_end(max(at, here), at + 100, near)
                total += here - start
        assert abs(total - came) < MIB


def test_a_walk_in_order_reads_more_where_trips_are_long() -> None:
    far, near = LinkEstimate(latency=0.1, bandwidth=50e6, n_streams=6), LinkEstimate(latency=0.001, bandwidth=50e6)
    ends = {}
    for link in (far, near):
        walk = ReadAhead(21 * MIB)
        first = walk.next_end(0, 8, link)
        ends[link.latency] = walk.next_end(first, first + 8, link) - first
    assert ends[0.001] == 128 * 1024
    assert ends[0.1] == pytest.approx(50e6 * 0.1 / 6 / 2, rel=0.01)


def test_a_host_is_measured_while_it_answers() -> None:
    gauge = LinkMeter()
    assert gauge.estimate(8, 0.0, None) == LinkEstimate(max_concurrent=8)
    for number in range(21):
        gauge.on_request()
        gauge.on_response_start(0.02 + 0.001 * (number % 3), 0.0)
        gauge.on_response_end(0.0)
    gauge.on_request()
    gauge.on_error()
    for _ in range(2):
        gauge.on_request()
        gauge.on_response_start(0.021, 0.0)
    assert gauge.estimate(8, 0.0, None).n_streams == 2
    for number in range(1, 101):
        gauge.on_bytes(MIB, number / 50)
    gauge.on_response_end(2.0)
    gauge.on_response_end(2.0)
    gauge.on_request()
    gauge.on_response_start(0.021, 60.0)  # the time between two bodies is nobody's fault
    gauge.on_bytes(4 * MIB, 60.08)
    link = gauge.estimate(8, 0.25, None)
    assert abs(link.latency - 0.021) < 0.001
    assert abs(link.bandwidth / (50 * MIB) - 1) < 0.1
    assert link.spacing == 0.25
    assert link.round_trip_s == 0.25
