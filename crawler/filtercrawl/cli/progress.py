"""The progress display of commands: a bar or lines for people, log records where stderr holds JSON lines."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext

from filtercrawl.api.progress import Progress
from filtercrawl.cli.log_output import logs_json
from filtercrawl.display import ProgressBar

logger = logging.getLogger(__name__)


class LoggedProgress:
    """A `Progress` of log records; the run itself logs each checkpoint, so that only other lines appear by default."""

    def message(self, line: str) -> None:
        logger.info(line)

    def start(self, total: int) -> None:
        logger.info("%d to do", total, extra={"total": total})

    def done(self, model_id: str, what: str) -> None:
        logger.debug("%s: %s", model_id, what)

    def step(self, done: int, total: int, what: str) -> None:
        logger.debug("%s %d/%d", what, done, total)


def open_command_progress(verb: str = "reading") -> AbstractContextManager[Progress]:
    """Return a context manager that yields the progress display of a command.

    Args:
        verb: What is done, shown before the bar.
    """
    return nullcontext(LoggedProgress()) if logs_json() else ProgressBar(verb)
