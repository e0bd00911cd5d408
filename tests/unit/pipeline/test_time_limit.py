"""When the time of a run is over."""

from __future__ import annotations

import time

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.pipeline.time_limit import GRACE_SECONDS, end_after


def test_a_time_limit_beyond_what_the_system_can_wait_for_is_none() -> None:
    cancellation = CancellationToken()
    with end_after(time.monotonic() + 1e12, cancellation):
        time.sleep(0.05)  # an error in the thread of the timer fails the test
    assert not cancellation.cancelled


def test_what_is_in_progress_ends_a_minute_after_the_deadline() -> None:
    cancellation = CancellationToken()
    with end_after(time.monotonic() - GRACE_SECONDS, cancellation):
        time.sleep(0.2)
        assert cancellation.cancelled
