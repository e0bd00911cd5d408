"""The retry policy: attempts, delays, limits, cancellation."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled, NetworkError
from filtercrawl.transport.retry import Clock, RetryPolicy, TransientError, WaitBudget, WaitLimitExceededError

HALF = Clock(random=lambda: 0.5)


class Waits(WaitBudget):
    """A budget that records its waits."""

    def __init__(self, limit: float = 600.0) -> None:
        self.slept: list[float] = []
        super().__init__(limit, CancellationToken(sleep=self.slept.append))


def failing(*errors: Exception) -> Callable[[], str]:
    """Return a function that raises each error once and then succeeds."""
    left = list(errors)

    def attempt() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return attempt


def always(error: Exception) -> bool:
    return True


def test_the_first_success_is_returned_without_a_wait() -> None:
    waits = Waits()
    assert RetryPolicy().run(failing(), retryable=always, waits=waits) == "done"
    assert waits.slept == []


def test_delays_double_up_to_the_largest() -> None:
    waits = Waits()
    policy = RetryPolicy(attempts=6, base_delay=1.0, max_delay=4.0)
    assert policy.run(failing(*[OSError()] * 5), retryable=always, waits=waits, clock=HALF) == "done"
    assert waits.slept == [0.5, 1.0, 2.0, 2.0, 2.0]


def test_backoff_is_bounded_and_jitters() -> None:
    policy, clock = RetryPolicy(), Clock(random=random.Random(1).random)
    delays = [policy.backoff(30, clock) for _ in range(200)]
    assert 0 <= min(delays) < 2
    assert 28 < max(delays) <= policy.max_delay


def test_fixed_delays_are_not_jittered() -> None:
    waits = Waits()
    policy = RetryPolicy.with_delays(0.2, 15.0)
    assert policy.attempts == 3
    assert policy.run(failing(OSError(), OSError()), retryable=always, waits=waits) == "done"
    assert waits.slept == [0.2, 15.0]


def test_the_last_error_is_raised_unchanged_and_without_a_wait_after_it() -> None:
    waits = Waits()
    errors = [OSError(n) for n in range(3)]
    with pytest.raises(OSError, match="2") as caught:
        RetryPolicy(attempts=3).run(failing(*errors), retryable=always, waits=waits, clock=HALF)
    assert caught.value is errors[2]
    assert waits.slept == [0.25, 0.5]


def test_an_error_that_is_not_retryable_is_raised_at_once() -> None:
    waits = Waits()
    with pytest.raises(KeyError):
        RetryPolicy().run(
            failing(OSError(), KeyError("x")), retryable=lambda error: isinstance(error, OSError), waits=waits
        )
    assert len(waits.slept) == 1


def test_the_wait_that_a_server_states_is_added_to_the_backoff() -> None:
    waits = Waits()
    assert RetryPolicy().run(failing(TransientError("HTTP 429", 7.0)), retryable=always, waits=waits, clock=HALF)
    assert waits.slept == [7.25]


def test_a_write_that_has_taken_effect_is_not_repeated() -> None:
    waits, applied = Waits(), [None, "found"]
    result = RetryPolicy().run(
        failing(OSError(), OSError(), OSError()), retryable=always, already_applied=lambda: applied.pop(0), waits=waits
    )
    assert result == "found"
    assert len(waits.slept) == 1


def test_it_is_looked_for_after_the_last_attempt_too() -> None:
    assert RetryPolicy(attempts=1).run(failing(OSError()), retryable=always, already_applied=lambda: "found") == "found"


def test_progress_starts_the_count_again() -> None:
    waits, progress = Waits(limit=1.0), [True, True, True, False]
    policy = RetryPolicy(attempts=2, base_delay=1.0)
    with pytest.raises(OSError, match="3"):
        policy.run(
            failing(*[OSError(n) for n in range(4)]),
            retryable=always,
            made_progress=lambda: progress.pop(0),
            waits=waits,
            clock=HALF,
        )
    assert waits.slept == [0.5, 0.5, 0.5]


def test_each_wait_is_announced() -> None:
    announced: list[tuple[str, float]] = []
    RetryPolicy().run(
        failing(OSError("first"), OSError("second")),
        retryable=always,
        on_retry=lambda error, delay: announced.append((str(error), delay)),
        waits=Waits(),
        clock=HALF,
    )
    assert announced == [("first", 0.25), ("second", 0.5)]


def test_waits_are_limited_in_total() -> None:
    waits = Waits(limit=10.0)
    waits.sleep(6.0)  # for a rate limit, say
    with pytest.raises(WaitLimitExceededError, match="asks to wait 7 s; run again later") as caught:
        RetryPolicy.with_delays(1.0).run(failing(TransientError("HTTP 429", 6.0)), retryable=always, waits=waits)
    assert isinstance(caught.value, NetworkError)
    assert waits.slept == [6.0]
    waits.reset()
    waits.sleep(10.0)
    waits.sleep(0.0)
    assert waits.slept == [6.0, 10.0]


def test_cancellation_ends_the_attempts() -> None:
    token = CancellationToken()
    attempts = []

    def attempt() -> None:
        attempts.append(1)
        token.cancel()
        raise OSError

    with pytest.raises(Cancelled):
        RetryPolicy.with_delays(60.0).run(attempt, retryable=always, waits=WaitBudget(600.0, token))
    assert len(attempts) == 1


def test_cancellation_is_no_error_to_retry() -> None:
    def attempt() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        RetryPolicy.with_delays(60.0).run(attempt, retryable=lambda error: isinstance(error, NetworkError))
