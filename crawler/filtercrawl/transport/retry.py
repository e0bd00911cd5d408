"""One retry policy for every request, download and write: backoff, server-stated waits, limits, cancellation."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeVar

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import NetworkError

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Sources of time and randomness, which tests replace.

    Attributes:
        monotonic: Seconds of a clock that never goes back.
        wall: Seconds since the epoch.
        random: A number in [0, 1).
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Callable[[], float] = random.random


class TransientError(Exception):
    """A failed attempt after which the server may have said when to try again.

    Attributes:
        retry_after: Seconds the server asks to wait before the next attempt; None where it did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WaitLimitExceededError(NetworkError):
    """A server asks for a longer wait than the retry policy allows."""


class WaitBudget:
    """Waits of one operation: limited in total, and ended by cancellation."""

    def __init__(self, limit: float, cancellation: CancellationToken | None = None) -> None:
        """Create an unused budget.

        Args:
            limit: Seconds that all waits together may take.
            cancellation: Ends a wait early.
        """
        self._limit = limit
        self._cancellation = cancellation or CancellationToken()
        self._waited = 0.0

    def sleep(self, seconds: float) -> None:
        """Wait; return at once for zero or negative seconds.

        Raises:
            WaitLimitExceededError: The wait would exceed the limit; nothing was waited.
            Cancelled: The run is to end.
        """
        if seconds <= 0:
            return
        if self._waited + seconds > self._limit:
            raise WaitLimitExceededError(f"asks to wait {seconds:.0f} s; run again later")
        self._cancellation.sleep(seconds)
        self._waited += seconds

    def reset(self) -> None:
        """Start again with the full limit."""
        self._waited = 0.0


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how long to retry. All durations are in seconds.

    Attributes:
        attempts: How often one operation is attempted in a row.
        base_delay: Upper bound of the first backoff delay; it doubles with each attempt.
        max_delay: Upper bound of any backoff delay.
        delays: Fixed delays between attempts in place of exponential backoff.
        total_timeout: All waits of one operation together, rate limits and server-stated waits included.
    """

    attempts: int = 6
    base_delay: float = 0.5
    max_delay: float = 30.0
    delays: tuple[float, ...] | None = None
    total_timeout: float = 600.0

    @classmethod
    def with_delays(cls, *delays: float) -> Self:
        """Return a policy that makes one attempt more than there are delays, in seconds, and waits exactly those."""
        return cls(attempts=len(delays) + 1, delays=delays)

    def backoff(self, attempt: int, clock: Clock) -> float:
        """Return the delay in seconds after an attempt, counted from 0: exponential with full jitter, or fixed."""
        if self.delays is not None:
            return self.delays[attempt]
        return float(clock.random()) * float(min(self.max_delay, self.base_delay * 2.0**attempt))

    def run(
        self,
        fn: Callable[[], Result],
        *,
        retryable: Callable[[Exception], bool],
        already_applied: Callable[[], Result | None] | None = None,
        made_progress: Callable[[], bool] | None = None,
        on_retry: Callable[[Exception, float], None] | None = None,
        waits: WaitBudget | None = None,
        clock: Clock | None = None,
    ) -> Result:
        """Call `fn` until it returns, waiting between the attempts.

        The delay is the backoff of the attempt plus what a `TransientError` says that the server asked for.

        Args:
            fn: One attempt.
            retryable: Whether another attempt may succeed after this error; other errors are raised at once.
            already_applied: Called after a retryable error of a write: returns the result of the write if it has
                taken effect although its response was lost, otherwise None.
            made_progress: Called after a retryable error; True starts the count of attempts and the limit of waits
                again, with this attempt as the first.
            on_retry: Called with the error and the delay, in seconds, before each wait.
            waits: The budget that waits count against; by default a new one of `total_timeout` seconds.
            clock: Source of the jitter.

        Returns:
            What `fn` or `already_applied` returned.

        Raises:
            Exception: The error of the last attempt, unchanged.
            WaitLimitExceededError: The next wait would exceed the budget.
            Cancelled: The run is to end.
        """
        clock = clock or Clock()
        waits = waits or WaitBudget(self.total_timeout)
        failures = 0
        while True:
            try:
                return fn()
            except Exception as error:
                if not retryable(error):
                    raise
                if already_applied is not None and (result := already_applied()) is not None:
                    return result
                if made_progress is not None and made_progress():
                    failures = 0
                    waits.reset()
                failures += 1
                if failures >= self.attempts:
                    raise
                stated = error.retry_after if isinstance(error, TransientError) else None
                delay = (stated or 0.0) + self.backoff(failures - 1, clock)
                if on_retry is not None:
                    on_retry(error, delay)
            waits.sleep(delay)
