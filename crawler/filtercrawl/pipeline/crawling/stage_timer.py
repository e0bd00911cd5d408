"""Time spent in the stages of crawling one checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext


class StageTimer:
    """Measure stages that may contain each other; the time in an inner stage does not count for the outer one.

    For use by one thread.

    Args:
        on_stage: Called when a stage begins or goes on after an inner one, which tells that the work goes on.

    Attributes:
        seconds: Seconds by stage, in the order in which the stages first began.
    """

    def __init__(self, on_stage: Callable[[], None] | None = None) -> None:
        self._on_stage = on_stage
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._limits: dict[str, AbstractContextManager[None]] = {}
        self._since = time.perf_counter()

    def limit(self, name: str, limit: AbstractContextManager[None]) -> None:
        """Run the blocks of a stage that contains no other under a limit, from now on."""
        self._limits[name] = limit

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time that the block takes for a stage."""
        self._charge()
        self._running.append(name)
        self.seconds.setdefault(name, 0.0)
        try:
            with self._limits.get(name, nullcontext()):
                yield
        finally:
            self._charge()
            self._running.pop()

    def read(self) -> dict[str, float]:
        """Return the seconds by stage up to now."""
        self._charge()
        return dict(self.seconds)

    def _charge(self) -> None:
        now = time.perf_counter()
        if self._on_stage is not None:
            self._on_stage()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
