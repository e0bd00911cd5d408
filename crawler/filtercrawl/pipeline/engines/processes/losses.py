"""Why a worker process was lost, in one line that names the setting that may help."""

from __future__ import annotations

import signal
from typing import Final

from filtercrawl.api.formatting import format_size
from filtercrawl.config.fields import show_duration
from filtercrawl.pipeline.crawling.reading_limit import SECONDS_PER_MEGABYTE
from filtercrawl.pipeline.engines.processes.limits import NO_MEMORY, NO_PROCESS
from filtercrawl.pipeline.engines.processes.messages import ProcessLimits

KILLED: Final = "its process was killed, as by a system that is short of memory; fewer --jobs take less"


def describe_exit(code: int | None, limits: ProcessLimits) -> str:
    """Say how a worker ended, and which setting may help.

    Args:
        code: Its exit code, or the negative number of the signal that ended it; None if it is not known.
        limits: What it might use.
    """
    if code == NO_PROCESS:
        return "the system starts no more processes; fewer --jobs take less"
    if code == NO_MEMORY:
        return f"needs more than {format_size(limits.memory)} of memory; --memory-limit allows more"
    if code is None or code >= 0:
        return "its process ended early" + ("" if code is None else f" (exit code {code})")
    if -code == signal.SIGXCPU:
        return f"used {show_duration(limits.cpu_seconds)} of CPU time; --cpu-limit allows more"
    if -code == signal.SIGPROF:
        return (
            f"reading its structure or its weights takes more than {show_duration(limits.reading_seconds)} of CPU "
            f"time, and {SECONDS_PER_MEGABYTE}s for each megabyte; --reading-limit allows more"
        )
    if -code == signal.SIGKILL:
        return KILLED
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"its process crashed ({name})"
