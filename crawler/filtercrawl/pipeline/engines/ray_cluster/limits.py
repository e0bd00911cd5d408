"""Limits of an attempt at one checkpoint, and how they grow when it has to be tried again."""

from __future__ import annotations

from typing import Final

from filtercrawl.api.formatting import format_plural
from filtercrawl.pipeline.engines.workers.attempt import Limits
from filtercrawl.pipeline.records import CrawlTask

# Attempts after the first.
MAX_RETRIES: Final = 2
_MIB: Final = 1024**2
# A process with torch and a source's library, without any weights.
_PROCESS_BYTES: Final = 768 * _MIB
# Beyond this, larger files take no more memory: weights are read a row group at a time.
_MAX_WORKING_BYTES: Final = 1024 * _MIB
# Tasks of the same shape share their processes in Ray: few shapes.
_STEP_BYTES: Final = 256 * _MIB


def limits_of(task: CrawlTask, n_failures: int, stall_timeout: float) -> Limits:
    """Return the limits of the next attempt.

    Each failure doubles memory and time; the last attempt has a machine of its own.

    Args:
        task: The checkpoint.
        n_failures: Attempts that failed.
        stall_timeout: Seconds that the first attempt may go without progress.
    """
    factor = 2**n_failures
    return Limits(
        memory=estimate_memory(task) * factor,
        alone=n_failures >= MAX_RETRIES,
        stall_seconds=stall_timeout * factor,
    )


def estimate_memory(task: CrawlTask) -> int:
    """Return the bytes of memory that a process takes to crawl a checkpoint, rounded up.

    Pickles and the largest layers are in memory once as they are stored and once as float32.
    """
    sizes = [file.size for file in task.checkpoint.files]
    size = _MAX_WORKING_BYTES if None in sizes else sum(size or 0 for size in sizes)
    needed = _PROCESS_BYTES + min(2 * size, _MAX_WORKING_BYTES)
    return -(-needed // _STEP_BYTES) * _STEP_BYTES


def describe_failures(reasons: list[str]) -> str:
    """Return the line that is recorded for a checkpoint whose attempts all failed."""
    attempts = format_plural(len(reasons), "attempt")
    return f"not read in {attempts}, the last one alone on a machine: {'; '.join(dict.fromkeys(reasons))}"
