"""A limit of the CPU time that reading the structure of a checkpoint takes: headers, names, attributes, graphs.

Parsers in C, such as HDF5's, may loop for ever over damaged bytes, and no code of Python gets a turn then. So the
system ends the process, by SIGPROF: a limit is for processes that others look after.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SECONDS_PER_MEGABYTE: Final = 0.25
_MEGABYTE: Final = 1_000_000


@contextmanager
def limit_structure(seconds: float, n_bytes: int) -> Iterator[None]:
    """Have this process ended by SIGPROF if the block takes too much CPU time.

    Args:
        seconds: CPU seconds for a small checkpoint.
        n_bytes: Size of the checkpoint; each megabyte allows `SECONDS_PER_MEGABYTE` more.
    """
    if sys.platform == "win32":  # which has no such timers
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds + SECONDS_PER_MEGABYTE * n_bytes / _MEGABYTE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
