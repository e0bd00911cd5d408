"""What an attempt in a process of this machine may use, and how the process is held to it."""

from __future__ import annotations

import math
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filtercrawl.config import Settings
from filtercrawl.pipeline.engines.processes.messages import ProcessLimits

# Exit code of a worker that found no memory outside of a reader.
NO_MEMORY: Final = 77
# Told in place of the exit code of a worker that could not be forked.
NO_PROCESS: Final = 78
# Attempts after the first.
MAX_RETRIES: Final = 1
# Workers in a row that ended before they could begin, after which the run is given up.
MAX_FALSE_STARTS: Final = 10
_GIB: Final = 1024**3
# Of the memory of the machine, what all workers may use together.
_SHARE: Final = 0.75
# Where containers state how much memory they may use: control groups of version 2 and 1.
_CONTAINER_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True, kw_only=True)
class AttemptLimits:
    """The limits of a run, from which those of each attempt follow.

    Attributes:
        memory: Bytes that a first attempt may take beyond the imported libraries.
        cpu_seconds: CPU seconds that it may take.
        reading_seconds: CPU seconds in which the structure of a small file, and then its weights, have to be read.
        stall_seconds: Seconds that it may go without progress.
    """

    memory: int
    cpu_seconds: float
    reading_seconds: float
    stall_seconds: float

    def after(self, n_failures: int) -> ProcessLimits:
        """Return the limits of the next attempt: one after a failure runs alone and has twice of everything."""
        factor = 2**n_failures
        return ProcessLimits(
            memory=self.memory * factor,
            alone=n_failures > 0,
            stall_seconds=self.stall_seconds * factor,
            cpu_seconds=self.cpu_seconds * factor,
            reading_seconds=self.reading_seconds,
        )


def attempt_limits(settings: Settings) -> AttemptLimits:
    """Return the limits that the settings state; by default all jobs together may take 3/4 of the memory."""
    default = max(_GIB, int(_SHARE * machine_memory()) // settings.jobs)
    return AttemptLimits(
        memory=default if settings.memory_limit is None else settings.memory_limit,
        cpu_seconds=settings.cpu_limit,
        reading_seconds=settings.reading_limit,
        stall_seconds=settings.stall_timeout,
    )


def machine_memory() -> int:
    """Return the bytes of memory of this machine, or of the container that this process is in."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _CONTAINER_LIMITS:
        try:
            memory = min(memory, int(Path(path).read_text("ascii")))
        except (OSError, ValueError):  # no such control group, or no limit in it
            continue
    return memory


def data_bytes() -> int | None:
    """Return how many bytes of memory this process could write into; None where the system does not say."""
    if sys.platform != "linux":
        return None
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmData:"):
            return 1024 * int(line.split()[1])
    return None


def limit_this_process(limits: ProcessLimits, imported: int | None) -> None:
    """Hold this process to the limits of an attempt.

    Memory is what it could write into, so that mapped files do not count. CPU time is that from now on; the system
    ends a process that takes more with SIGXCPU. No core file is written: it would hold what the process has read.

    Args:
        limits: The limits.
        imported: `data_bytes` before the first attempt; None for no limit of memory.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _set(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime + limits.cpu_seconds))
    _set(resource.RLIMIT_CORE, 0)
    if imported is not None:
        _set(resource.RLIMIT_DATA, imported + limits.memory)


def _set(which: int, value: int) -> None:
    """Set a limit, as far as the administrator's allows."""
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
