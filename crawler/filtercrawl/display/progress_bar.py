"""Progress of a long run on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from filtercrawl.api.formatting import escape_control

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

# Seconds between plain lines about one long step.
_STEP_INTERVAL: Final = 10.0


class ProgressBar:
    """A `Progress` on stderr; use as a context manager. A run that shows nothing does not import Rich."""

    def __init__(self, verb: str = "reading") -> None:
        """Create a bar that appears with `start`.

        Args:
            verb: What is done, shown before the bar.
        """
        self._verb = verb
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._total = self._count = 0
        self._step_shown = time.monotonic()

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    def message(self, line: str) -> None:
        self._console.print(escape_control(line))

    def start(self, total: int) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._total, self._count = total, 0
        if total and self._console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn(self._verb),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}", markup=False),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=total)

    def done(self, model_id: str, what: str) -> None:
        self._count += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, description=escape_control(model_id)[-60:])
            if " " in what:  # the reason of a failure: keep it above the bar
                self.message(f"{model_id}: {what}")
        else:
            self.message(f"[{self._count}/{self._total}] {model_id}: {what}")

    def step(self, done: int, total: int, what: str) -> None:
        """Show how far one long step is: beside the bar, or in a plain line every ten seconds."""
        line = f"{escape_control(what)} {done:,}/{total:,}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=line[-60:])
        elif not self._console.is_terminal and time.monotonic() - self._step_shown >= _STEP_INTERVAL:
            self._step_shown = time.monotonic()
            self.message(f"  {line}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        sys.stderr.flush()
