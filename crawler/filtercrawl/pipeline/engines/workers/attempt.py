"""One attempt at a checkpoint, as the process of the run sees it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from filtercrawl.dataset.schema.model_row import ContentKey
from filtercrawl.pipeline.engines.workers.messages import Question, Started
from filtercrawl.pipeline.records import CrawlResult, CrawlTask


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one attempt may use.

    Attributes:
        memory: Bytes of memory.
        alone: Whether nothing else runs on its machine.
        stall_seconds: How long it may go without progress.
    """

    memory: int
    alone: bool
    stall_seconds: float


@dataclass(frozen=True, kw_only=True)
class Loss:
    """An attempt that ended without a result.

    Attributes:
        reason: Why, as it is recorded for the checkpoint if every attempt fails.
        counts: Whether the checkpoint may be the cause.
        final: Whether another attempt would end alike.
    """

    reason: str
    counts: bool
    final: bool = False


@dataclass(kw_only=True, eq=False)
class Attempt:
    """A checkpoint that a worker crawls.

    Attributes:
        id: Unique within the run.
        limits: What it may use.
        node: Id of its machine; None until its worker has begun to read.
        question: The question that it waits for.
        asked: When it asked, of `time.monotonic`.
        last_progress: When it last told of progress.
    """

    id: str
    limits: Limits
    node: str | None = None
    question: Question | None = None
    asked: float = 0.0
    last_progress: float = field(default_factory=time.monotonic)

    def note(self, message: object) -> None:
        """Record what a message says about the attempt itself."""
        self.last_progress = time.monotonic()
        if isinstance(message, Started):
            self.node = message.node
        elif isinstance(message, Question):
            if self.question is None:  # else it is asked again
                self.asked = self.last_progress
            self.question = message

    def has_stalled(self) -> bool:
        """Tell whether its worker has gone without progress for too long; waiting for an answer is no stall."""
        if self.node is None or self.question is not None:
            return False
        return time.monotonic() - self.last_progress > self.limits.stall_seconds


AnyAttempt = TypeVar("AnyAttempt", bound=Attempt)


@dataclass(kw_only=True, eq=False)
class Job(Generic[AnyAttempt]):
    """A task of the plan on its way to a result.

    Attributes:
        task: The task.
        files: URLs and declared hashes of its files.
        failures: Why each attempt failed that counts.
        avoid: The machine of the last attempt that failed.
        attempt: The attempt in progress.
        deferred: The content that an earlier checkpoint reads, for which the job waits.
        done: Whether it is finished.
        result: Its result; None as long as there is none, or for a checkpoint that is left for the next run.
    """

    task: CrawlTask
    files: set[str]
    failures: list[str] = field(default_factory=list)
    avoid: str | None = None
    attempt: AnyAttempt | None = None
    deferred: ContentKey | None = None
    done: bool = False
    result: CrawlResult | None = None

    def finish(self, result: CrawlResult | None) -> None:
        """Record the result."""
        self.attempt, self.done, self.result = None, True, result
