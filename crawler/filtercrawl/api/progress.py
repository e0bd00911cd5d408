"""Receiver of the progress of a long run."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a run; called from the main thread of the run only."""

    def message(self, line: str) -> None:
        """Show one line."""
        ...

    def start(self, total: int) -> None:
        """Begin a run over `total` items, for example checkpoints."""
        ...

    def done(self, model_id: str, what: str) -> None:
        """Count one item as done; `what` is its outcome in one word, or the reason why it failed."""
        ...

    def step(self, done: int, total: int, what: str) -> None:
        """Show how far one long step of the current item is."""
        ...


class NullProgress:
    """A `Progress` that shows nothing."""

    def message(self, line: str) -> None:
        pass

    def start(self, total: int) -> None:
        pass

    def done(self, model_id: str, what: str) -> None:
        pass

    def step(self, done: int, total: int, what: str) -> None:
        pass
