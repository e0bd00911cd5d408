"""Cooperative cancellation of a run."""

from __future__ import annotations

import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from filtercrawl.api.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable


class CancellationToken:
    """Tells the parts of a run that it is to end; thread-safe.

    Signal handlers and time limits call `cancel`. Long work calls `raise_if_cancelled` between its steps and waits
    with `sleep`, so that a run ends within a fraction of a second.
    """

    def __init__(self, *, sleep: Callable[[float], object] | None = None) -> None:
        """Create a token that is not cancelled.

        Args:
            sleep: Called with seconds in place of waiting, for tests.
        """
        self._event = threading.Event()
        self._replaced_sleep = sleep
        # Reentrant: a signal handler may cancel while this thread holds it.
        self._lock = threading.RLock()
        self._children: weakref.WeakSet[CancellationToken] = weakref.WeakSet()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Ask everything that holds this token, or a child of it, to end."""
        with self._lock:
            self._event.set()
            children = list(self._children)
        for child in children:
            child.cancel()

    def child(self) -> CancellationToken:
        """Return a token for a part of the work: cancelled with this one, or alone."""
        token = CancellationToken(sleep=self._replaced_sleep)
        with self._lock:
            self._children.add(token)
            if self._event.is_set():
                token.cancel()
        return token

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
        self.raise_if_cancelled()
        (self._replaced_sleep or self._event.wait)(seconds)
        self.raise_if_cancelled()


@contextmanager
def cancel_on_interrupt(cancellation: CancellationToken) -> Iterator[None]:
    """Let a keyboard interrupt end the work cleanly.

    The first one cancels, and KeyboardInterrupt is raised when the work has ended; a second one is raised at once.
    Other threads than the main one, and programs with a signal handler of their own, keep theirs.

    Raises:
        KeyboardInterrupt: The user interrupted the work.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    interrupted = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            signal.default_int_handler(number, frame)
        interrupted = True
        cancellation.cancel()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    except Cancelled:
        if not interrupted:
            raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupted:
        raise KeyboardInterrupt
