"""Rate limits of one host, as its response headers state them."""

from __future__ import annotations

import pytest

from filtercrawl.transport.rate_limit import HostLimiter
from filtercrawl.transport.retry import Clock


class Time:
    """A clock that is moved by hand."""

    now = 1000.0

    def limiter(self) -> HostLimiter:
        return HostLimiter("https://host", 2, Clock(monotonic=lambda: self.now))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def limiter(time: Time) -> HostLimiter:
    return time.limiter()


def test_a_host_that_states_no_limit_has_none(limiter: HostLimiter) -> None:
    limiter.update_from_headers("/api/a", {})
    assert (limiter.reserve("/api/a"), limiter.spacing("/api/a")) == (0.0, 0.0)


def test_a_used_up_quota_blocks_until_its_window_ends(time: Time, limiter: HostLimiter) -> None:
    limiter.update_from_headers("/api/a", {"RateLimit": '"api";r=0;t=55'})
    assert limiter.reserve("/api/b") == 55.0
    time.now += 50
    assert limiter.reserve("/api/b") == 5.0
    time.now += 6
    assert limiter.reserve("/api/b") == 0.0


def test_quotas_are_kept_apart_by_first_folder(limiter: HostLimiter) -> None:
    limiter.update_from_headers("/api/a", {"RateLimit": '"api";r=0;t=55'})
    limiter.update_from_headers("/resolve/x", {"RateLimit": '"resolvers";r=4999;t=55'})
    assert (limiter.reserve("/resolve/y"), limiter.reserve("/"), limiter.reserve("/api")) == (0.0, 0.0, 55.0)


def test_folders_of_one_quota_share_it(limiter: HostLimiter) -> None:
    for path in ("/api/a", "/datasets/b"):
        limiter.update_from_headers(path, {"RateLimit": '"api";r=9;t=55'})
    limiter.update_from_headers("/api/a", {"RateLimit": '"api";r=0;t=55'})
    assert limiter.reserve("/datasets/b") == 55.0


@pytest.mark.parametrize(("remaining", "spacing"), [(500, 0.0), (50, 0.0), (49, 100 / 49), (10, 10.0)])
def test_below_a_tenth_of_a_quota_requests_are_spread(limiter: HostLimiter, remaining: int, spacing: float) -> None:
    headers = {"RateLimit": f'"api";r={remaining};t=100', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
    limiter.update_from_headers("/api/a", headers)
    assert limiter.spacing("/api/a") == pytest.approx(spacing)
    assert [limiter.reserve("/api/a") for _ in range(3)] == pytest.approx([0.0, spacing, 2 * spacing])


def test_processes_that_share_a_quota_each_take_their_part_of_it(time: Time) -> None:
    shared = HostLimiter("https://host", 2, Clock(monotonic=lambda: time.now), sharers=4)
    headers = {"RateLimit": '"api";r=40;t=100', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
    shared.update_from_headers("/api/a", headers)
    assert shared.spacing("/api/a") == 10.0


def test_the_spread_ends_with_a_full_quota(limiter: HostLimiter) -> None:
    policy = {"RateLimit-Policy": '"api";q=500;w=300'}
    limiter.update_from_headers("/api/a", {"RateLimit": '"api";r=1;t=100', **policy})
    limiter.update_from_headers("/api/a", {"RateLimit": '"api";r=500;t=300', **policy})
    assert limiter.spacing("/api/a") == 0.0


@pytest.mark.parametrize("text", ["", "api", '"api";r=;t=5', '"api";r=-1;t=5', "r=0;t=5", '"api";r=12345678901;t=1'])
def test_headers_that_cannot_be_read_are_ignored(limiter: HostLimiter, text: str) -> None:
    limiter.update_from_headers("/api/a", {"RateLimit": text, "RateLimit-Policy": text})
    assert limiter.reserve("/api/a") == 0.0


def test_retry_after_blocks_a_folder_and_never_shortens_a_block(time: Time, limiter: HostLimiter) -> None:
    limiter.block_for("/api/a", 20.0)
    limiter.block_for("/api/b", 5.0)
    assert (limiter.reserve("/api/c"), limiter.reserve("/other")) == (20.0, 0.0)
    time.now += 21
    assert limiter.reserve("/api/c") == 0.0


def test_connections_are_limited(limiter: HostLimiter) -> None:
    assert [limiter.connections.acquire(blocking=False) for _ in range(3)] == [True, True, False]
