"""A limit that is given to a run on threads is not kept, and the run says so."""

from __future__ import annotations

from pathlib import Path

from filtercrawl.api.progress import NullProgress
from support.engines import RunOn


class Lines(NullProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, line: str) -> None:
        self.lines.append(line)


def test_threads_warn_of_limits_that_they_do_not_keep(run_on: RunOn, zoo: Path) -> None:
    zoo.mkdir(exist_ok=True)
    progress = Lines()
    run_on("threads", progress=progress, memory_limit=2**30)
    assert "warning: threads keep no limit (--memory-limit); the engine local does" in progress.lines
    progress = Lines()
    run_on("threads", progress=progress)
    assert not [line for line in progress.lines if line.startswith("warning")]
