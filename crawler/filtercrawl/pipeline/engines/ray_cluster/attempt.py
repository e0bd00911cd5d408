"""One attempt at a checkpoint as a Ray task: its stream of messages and the file that it sends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray

from filtercrawl.pipeline.engines.ray_cluster.messages import FileChunk, Message
from filtercrawl.pipeline.engines.workers.attempt import Attempt
from filtercrawl.pipeline.records import CrawlResult


@dataclass(kw_only=True, eq=False)
class RayAttempt(Attempt):
    """A Ray task that crawls a checkpoint.

    Attributes:
        stream: Ray's generator of references to messages.
        received: The file that a worker without a view of the dataset folder sends.
    """

    stream: Any
    received: Path

    def next_message(self) -> Message:
        """Return the next message, which Ray has said is there.

        Raises:
            ray.exceptions.RayError: The worker is lost.
            StopIteration: It ended without `Finished`.
        """
        message: Message = ray.get(next(self.stream))
        self.note(message)
        if isinstance(message, FileChunk):
            with self.received.open("ab") as file:
                file.write(message.data)
        return message

    def with_file(self, result: CrawlResult) -> CrawlResult | None:
        """Return a result with the staged file that is on this machine; None if that has not arrived in full."""
        if result.layers is None or result.layers.staged is None:
            return result
        path = self.received if self.received.exists() else result.layers.staged
        try:
            arrived = path.stat().st_size == result.layers.size
        except OSError:
            arrived = False
        return replace(result, layers=replace(result.layers, staged=path)) if arrived else None

    def end(self, *, force: bool) -> None:
        """Have Ray end the task.

        Args:
            force: End its process; else the worker may finish its step.
        """
        ray.cancel(self.stream, force=force, recursive=False)
