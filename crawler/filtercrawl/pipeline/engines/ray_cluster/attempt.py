"""One attempt at a checkpoint, as the driver sees it: its stream of messages and the file that it sends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray

from filtercrawl.dataset.schema.model_row import ContentKey
from filtercrawl.pipeline.engines.ray_cluster.limits import Limits
from filtercrawl.pipeline.engines.ray_cluster.messages import FileChunk, Message, Question, Started
from filtercrawl.pipeline.records import CrawlResult, CrawlTask


@dataclass(kw_only=True, eq=False)
class Attempt:
    """A Ray task that crawls a checkpoint.

    Attributes:
        id: Unique within the run.
        stream: Ray's generator of references to messages.
        limits: What it may use.
        received: The file that a worker without a view of the dataset folder sends.
        node: Id of its node; None until its worker has begun to read.
        question: The question that it waits for.
        asked: When it asked, of `time.monotonic`.
        last_progress: When it last told of progress.
    """

    id: str
    stream: Any
    limits: Limits
    received: Path
    node: str | None = None
    question: Question | None = None
    asked: float = 0.0
    last_progress: float = field(default_factory=time.monotonic)

    def next_message(self) -> Message:
        """Return the next message, which Ray has said is there.

        Raises:
            ray.exceptions.RayError: The worker is lost.
            StopIteration: It ended without `Finished`.
        """
        message: Message = ray.get(next(self.stream))
        self.last_progress = time.monotonic()
        if isinstance(message, Started):
            self.node = message.node
        elif isinstance(message, Question):
            if self.question is None:  # else it is asked again
                self.asked = self.last_progress
            self.question = message
        elif isinstance(message, FileChunk):
            with self.received.open("ab") as file:
                file.write(message.data)
        return message

    def has_stalled(self) -> bool:
        """Tell whether its worker has gone without progress for too long; waiting for an answer is no stall."""
        if self.node is None or self.question is not None:
            return False
        return time.monotonic() - self.last_progress > self.limits.stall_seconds

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


@dataclass(kw_only=True, eq=False)
class Job:
    """A task of the plan on its way to a result.

    Attributes:
        task: The task.
        files: URLs and declared hashes of its files.
        failures: Why each attempt failed that counts.
        avoid: The node of the last attempt that failed.
        attempt: The attempt in progress.
        deferred: The content that an earlier checkpoint reads, for which the job waits.
        done: Whether it is finished.
        result: Its result; None as long as there is none, or for a checkpoint that is left for the next run.
    """

    task: CrawlTask
    files: set[str]
    failures: list[str] = field(default_factory=list)
    avoid: str | None = None
    attempt: Attempt | None = None
    deferred: ContentKey | None = None
    done: bool = False
    result: CrawlResult | None = None

    def finish(self, result: CrawlResult | None) -> None:
        """Record the result."""
        self.attempt, self.done, self.result = None, True, result
