"""What a long run tells whoever watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    def message(self, line: str) -> None:
        """One line for the log."""
        ...

    def start(self, total: int) -> None:
        """So many checkpoints are to be read."""
        ...

    def done(self, model_id: str, what: str) -> None:
        """One of them is settled."""
        ...


class NullProgress:
    """Tells nothing; for callers from Python."""

    def message(self, line: str) -> None:
        pass

    def start(self, total: int) -> None:
        pass

    def done(self, model_id: str, what: str) -> None:
        pass
