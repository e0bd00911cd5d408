"""What workers share: plugins, the network, what is known already, and how many may do what at a time."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from filtercrawl.api.source import Reader, Source
    from filtercrawl.dataset.tables.model_row import ContentKey
    from filtercrawl.pipeline.crawling.write_layers import Workshop
    from filtercrawl.transport import MeasuredTransport

# Bytes that may have been fetched, or be on their way, and not yet be written.
_AHEAD: Final = 2 * 1024**3
_POLL: Final = 0.1


class Room:
    """Hands out a bounded number of something; who asks for more than all of it gets it alone. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._change = threading.Condition()

    @contextmanager
    def taken(self, number: int, pause: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold `number` while the block runs; waits until they are free. pause: called meanwhile, it may raise."""
        number = min(number, self._most)
        with self._change:
            while self._taken + number > self._most:
                pause()
                self._change.wait(_POLL)
            self._taken += number
        try:
            yield
        finally:
            with self._change:
                self._taken -= number
                self._change.notify_all()


@dataclass(frozen=True, kw_only=True)
class Crew:
    """What a worker needs.

    by_file: the model_id of every content that is known. prove: fetch every file whole whose sha256 is stated. desks:
    how many checkpoints may be written at a time, while others are fetched; ahead: how many bytes may be fetched before
    they are written.
    """

    sources: Mapping[str, Source]
    readers: tuple[Reader, ...]
    workshop: Workshop
    transport: MeasuredTransport
    by_file: Mapping[ContentKey, str]
    desks: Room
    prove: bool = False
    ahead: Room = field(default_factory=lambda: Room(_AHEAD))
