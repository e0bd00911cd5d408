"""A limit of the CPU time that reading a checkpoint takes: its structure (headers, names, graphs), then its weights.

Parsers in C, such as HDF5's, may loop for ever over damaged bytes, and no code of Python gets a turn then. So the
system ends the process, by SIGPROF: a limit is for processes that others look after.
"""

from __future__ import annotations

import signal
import sys
from types import TracebackType
from typing import Final

SECONDS_PER_MEGABYTE: Final = 0.25
_MEGABYTE: Final = 1_000_000


class ReadingLimit:
    """Have this process ended by SIGPROF if the blocks that run under a limit together take too much CPU time.

    Args:
        seconds: CPU seconds for a small checkpoint.
        n_bytes: Size of the checkpoint; each megabyte allows `SECONDS_PER_MEGABYTE` more.
    """

    def __init__(self, seconds: float, n_bytes: int) -> None:
        self._left = seconds + SECONDS_PER_MEGABYTE * n_bytes / _MEGABYTE

    def __enter__(self) -> None:
        if sys.platform != "win32":  # which has no such timers
            signal.setitimer(signal.ITIMER_PROF, self._left)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if sys.platform != "win32":
            self._left, _ = signal.setitimer(signal.ITIMER_PROF, 0)
