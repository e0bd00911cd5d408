"""A semaphore whose holders take more than one unit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from filtercrawl.api.cancellation import CancellationToken

_POLL_SECONDS: Final = 0.1


class WeightedSemaphore:
    """Limit how many units are held at a time. Thread-safe.

    Args:
        capacity: Units that may be held together. A request for more than that is granted alone.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def acquire(self, n: int, cancellation: CancellationToken | None = None) -> Iterator[None]:
        """Hold `n` units while the block runs; wait until they are free.

        Raises:
            Cancelled: The run is to end.
        """
        n = min(n, self._capacity)
        with self._changed:
            while self._held + n > self._capacity:
                if cancellation is not None:
                    cancellation.raise_if_cancelled()
                self._changed.wait(_POLL_SECONDS)
            self._held += n
        try:
            yield
        finally:
            with self._changed:
                self._held -= n
                self._changed.notify_all()
