"""Cooperative cancellation of a run."""

from __future__ import annotations

import threading

from filtercrawl.api.errors import Cancelled


class CancellationToken:
    """Tells the parts of a run that it is to end; thread-safe.

    Signal handlers and time limits call `cancel`. Long work calls `raise_if_cancelled` between its steps and waits
    with `sleep`, so that a run ends within a fraction of a second.
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Ask everything that holds this token to end."""
        self._event.set()

    def raise_if_cancelled(self) -> None:
        """Return at once while the run goes on.

        Raises:
            Cancelled: The run is to end.
        """
        if self._event.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Wait, for example for a server's rate limit.

        Args:
            seconds: How long to wait.

        Raises:
            Cancelled: The run is to end; raised as soon as `cancel` is called.
        """
        if self._event.wait(seconds):
            raise Cancelled
