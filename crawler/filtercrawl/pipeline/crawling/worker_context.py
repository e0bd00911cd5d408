"""What workers share: plugins, the network, what is known already, and how many may do what at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.source import Reader, Source
from filtercrawl.dataset.schema.model_row import ContentKey
from filtercrawl.pipeline.crawling.write_layers import LayerWriteOptions
from filtercrawl.transport import MeasuredTransport

# Bytes that may have been fetched, or be on their way, and not yet be written.
_PREFETCH_BYTES: Final = 2 * 1024**3
_POLL_SECONDS: Final = 0.1


class WeightedSemaphore:
    """Hands out a bounded number of something; who asks for more than all of it gets it alone. Thread-safe."""

    def __init__(self, capacity: int) -> None:
        self._most = capacity
        self._taken = 0
        self._change = threading.Condition()

    @contextmanager
    def acquire(self, n: int, check_cancelled: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold `n` while the block runs; waits until they are free. pause: called meanwhile, it may raise."""
        n = min(n, self._most)
        with self._change:
            while self._taken + n > self._most:
                check_cancelled()
                self._change.wait(_POLL_SECONDS)
            self._taken += n
        try:
            yield
        finally:
            with self._change:
                self._taken -= n
                self._change.notify_all()


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """What a worker needs.

    by_file: the model_id of every content that is known. prove: fetch every file whole whose sha256 is stated.
    write_slots:
    how many checkpoints may be written at a time, while others are fetched; ahead: how many bytes may be fetched before
    they are written.
    """

    sources: Mapping[str, Source]
    readers: tuple[Reader, ...]
    write_options: LayerWriteOptions
    transport: MeasuredTransport
    model_by_content: Mapping[ContentKey, str]
    write_slots: WeightedSemaphore
    verify_all: bool = False
    prefetch_budget: WeightedSemaphore = field(default_factory=lambda: WeightedSemaphore(_PREFETCH_BYTES))
