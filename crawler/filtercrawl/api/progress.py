"""What a long run tells whoever watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    def say(self, line: str) -> None:
        """One line for the log."""
        ...

    def begin(self, total: int) -> None:
        """So many checkpoints are to be read."""
        ...

    def done(self, model_id: str, what: str) -> None:
        """One of them is settled."""
        ...


class Silent:
    """Tells nothing; for callers from Python."""

    def say(self, line: str) -> None:
        pass

    def begin(self, total: int) -> None:
        pass

    def done(self, model_id: str, what: str) -> None:
        pass
