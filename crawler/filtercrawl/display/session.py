"""How the current Python session shows progress."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.display.notebook_progress import NotebookProgressBar
from filtercrawl.display.progress_bar import ProgressBar


def open_progress(progress: bool | Progress | None, verb: str) -> AbstractContextManager[Progress]:
    """Return a context manager that yields what receives the progress of a run.

    Args:
        progress: True for a progress bar, False for nothing, None for a bar in interactive sessions only; or an object
            of the caller.
        verb: What is done, shown before the bar.
    """
    if progress is None:
        progress = is_interactive()
    if not isinstance(progress, bool):
        return nullcontext(progress)
    if not progress:
        return nullcontext(NullProgress())
    return NotebookProgressBar(verb) if is_notebook() else ProgressBar(verb)


def is_interactive() -> bool:
    """Tell whether a person types into this session: a notebook, IPython or the Python prompt."""
    return hasattr(sys, "ps1") or _ipython_shell() is not None


def is_notebook() -> bool:
    """Tell whether this session is a Jupyter kernel."""
    return _ipython_shell() == "ZMQInteractiveShell"


def _ipython_shell() -> str | None:
    """Return the class name of the running IPython shell, without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return None if shell is None else type(shell).__name__
