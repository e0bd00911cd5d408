"""A limit of CPU time that several blocks share."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from filtercrawl.pipeline.crawling.reading_limit import ReadingLimit

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such timers")


def spend(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def signal_that_ends(seconds: float, n_bytes: int) -> int:
    """Spend 0.1 s of CPU time in each of five blocks under a limit, in a process of its own."""
    child = os.fork()
    if not child:
        limit = ReadingLimit(seconds, n_bytes)
        for _ in range(5):
            with limit:
                spend(0.1)
            spend(0.1)  # does not count
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_blocks_share_a_limit_that_grows_with_the_file() -> None:
    assert signal_that_ends(0.3, 0) == -signal.SIGPROF
    assert signal_that_ends(0.3, 2_000_000) == 0
