"""Progress of a long run in a notebook: one bar by tqdm, and the lines that need attention."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from filtercrawl.api.formatting import escape_control


class NotebookProgressBar:
    """A `Progress` that a Jupyter notebook renders; use as a context manager."""

    def __init__(self, verb: str = "reading") -> None:
        """Create a bar that appears with `start`.

        Args:
            verb: What is done, shown before the bar.
        """
        self._verb = verb
        self._bar: Any = None  # tqdm, as a widget where ipywidgets is installed

    def message(self, line: str) -> None:
        from tqdm.auto import tqdm

        tqdm.write(escape_control(line))

    def start(self, total: int) -> None:
        from tqdm.auto import tqdm

        self._close()
        self._bar = tqdm(total=total, desc=self._verb)

    def done(self, model_id: str, what: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(escape_control(model_id)[-60:], refresh=False)
            self._bar.update()
        if " " in what:  # the reason of a failure
            self.message(f"{model_id}: {what}")

    def step(self, done: int, total: int, what: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(f"{escape_control(what)} {done:,}/{total:,}"[-60:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
