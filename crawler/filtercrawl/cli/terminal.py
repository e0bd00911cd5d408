"""Progress of a long run: a bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from filtercrawl.cli.options import plain


class Watch:
    """Implements `filtercrawl.progress.Progress`; use as a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._total = self._count = 0

    def say(self, line: str) -> None:
        self._console.print(plain(line))

    def begin(self, total: int) -> None:
        self._total = total
        if self._console.is_terminal and total:
            columns = (
                TextColumn("reading"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=total)

    def done(self, model_id: str, what: str) -> None:
        self._count += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, description=plain(model_id)[-60:])
            if " " in what:  # a reason: it must not scroll by with the bar
                self.say(f"{model_id}: {what}")
        else:
            self.say(f"[{self._count}/{self._total}] {model_id}: {what}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        sys.stderr.flush()
