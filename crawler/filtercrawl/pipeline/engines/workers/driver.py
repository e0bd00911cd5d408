"""The side of the run: receives what workers tell of their attempts, answers, and has what was lost tried again."""

from __future__ import annotations

import logging
import shutil
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Final, Generic

from filtercrawl.config.fields import show_duration
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.workers.attempt import AnyAttempt, Job, Loss
from filtercrawl.pipeline.engines.workers.log_records import replay
from filtercrawl.pipeline.engines.workers.messages import Answer, Finished, Update
from filtercrawl.pipeline.records import OUT_OF_MEMORY, CrawlResult

logger = logging.getLogger(__name__)

# Seconds that a worker waits for an earlier checkpoint with the same content before it gives its place to another.
_DEFER_SECONDS: Final = 10.0


class Driver(ABC, Generic[AnyAttempt]):
    """Runs attempts in worker processes; what starts them, and how they talk, is up to the class below.

    Args:
        index: Contents that are known or being read.
        staging: Folder of the run for staged files, one folder an attempt.
        max_retries: Attempts after the first.

    Attributes:
        requests: Requests that workers have told of.
        retries: Those of them that failed and were tried again.
    """

    def __init__(self, index: ContentIndex, staging: Path, max_retries: int) -> None:
        self.requests = 0
        self.retries = 0
        self._index = index
        self._staging = staging
        self._max_retries = max_retries
        self._jobs: dict[str, Job[AnyAttempt]] = {}  # by the id of the attempt in progress

    @property
    @abstractmethod
    def n_ahead(self) -> int:
        """Checkpoints that may be finished or on their way at a time, beyond the one that is committed next."""

    @abstractmethod
    def has_room_for(self, job: Job[AnyAttempt]) -> bool:
        """Tell whether an attempt would start soon."""

    def start(self, job: Job[AnyAttempt]) -> None:
        """Start an attempt."""
        job.attempt, job.deferred = self._begin(job), None
        self._jobs[job.attempt.id] = job

    def receive(self, timeout: float) -> None:
        """Receive what workers tell, and look after those that tell nothing.

        Args:
            timeout: Seconds to wait for the first message, and seconds after which to return although there are more.

        Raises:
            EngineError: A worker refuses to work, or none starts.
        """
        if self._jobs:
            self._receive(timeout)
        else:
            time.sleep(timeout)
        for job in list(self._jobs.values()):
            self._answer(job)
            self._end_if_stalled(job)

    def cancel(self) -> None:
        """End all attempts; their jobs are left for the next run."""
        for job in list(self._jobs.values()):
            attempt = self._detach(job)
            self._end(attempt, force=False)
            job.finish(None)

    @abstractmethod
    def close(self) -> None:
        """End what still runs, and remove its files."""

    @abstractmethod
    def _begin(self, job: Job[AnyAttempt]) -> AnyAttempt:
        """Have a worker start an attempt."""

    @abstractmethod
    def _receive(self, timeout: float) -> None:
        """Receive messages and pass each to `_note` or `_finish`, and losses to `_lose`."""

    @abstractmethod
    def _reply(self, attempt: AnyAttempt, answer: Answer) -> None:
        """Send the answer to the question of an attempt."""

    @abstractmethod
    def _end(self, attempt: AnyAttempt, *, force: bool) -> None:
        """End an attempt.

        Args:
            attempt: It is no longer among the jobs.
            force: End its process; else the worker may finish its step.
        """

    @abstractmethod
    def _describe_failures(self, job: Job[AnyAttempt]) -> str:
        """Return the line that is recorded for a checkpoint whose attempts all failed."""

    def _out_of_memory(self, attempt: AnyAttempt) -> Loss:  # noqa: ARG002 - for classes below
        """Return the loss of an attempt that found no memory."""
        return Loss(reason="ran out of memory", counts=True)

    def _stalled(self, attempt: AnyAttempt) -> Loss:
        """Return the loss of an attempt without progress."""
        return Loss(reason=f"no progress for {show_duration(attempt.limits.stall_seconds)}", counts=True)

    def _with_file(self, attempt: AnyAttempt, result: CrawlResult) -> CrawlResult | None:  # noqa: ARG002
        """Return a result with the staged file that is on this machine; None if that has not arrived in full."""
        return result

    def _detach(self, job: Job[AnyAttempt]) -> AnyAttempt:
        attempt = job.attempt
        assert attempt is not None
        del self._jobs[attempt.id]
        job.attempt = None
        return attempt

    def _note(self, update: Update) -> None:
        self.requests += update.requests
        self.retries += update.retries
        replay(update.logs)

    def _finish(self, job: Job[AnyAttempt], message: Finished) -> None:
        """Take the last message of an attempt."""
        self._note(message.update)
        attempt = self._detach(job)
        if message.deferred:
            assert attempt.question is not None
            job.deferred = attempt.question.key
        elif message.result is None:
            job.finish(None)
        elif message.result.error == OUT_OF_MEMORY:
            self._count(job, attempt, self._out_of_memory(attempt))
        else:
            result = self._with_file(attempt, replace(message.result, task=job.task))
            if result is None:
                self._count(job, attempt, Loss(reason="its file did not arrive", counts=True))
            else:
                job.finish(result)

    def _lose(self, job: Job[AnyAttempt], loss: Loss) -> None:
        """Record that an attempt was lost."""
        self._count(job, self._detach(job), loss)

    def _count(self, job: Job[AnyAttempt], attempt: AnyAttempt, loss: Loss) -> None:
        """Record a loss: the job is tried again, or fails."""
        job.avoid = attempt.node
        shutil.rmtree(self._staging / attempt.id, ignore_errors=True)
        if loss.counts:
            job.failures.append(loss.reason)
        failed = loss.final or len(job.failures) > self._max_retries
        what = "failed" if failed else "tried again"
        logger.warning("%s: %s; %s", job.task.model_id, loss.reason, what, extra={"checkpoint": job.task.model_id})
        if failed:
            reason = loss.reason if loss.final else self._describe_failures(job)
            job.finish(CrawlResult(task=job.task, error=reason))

    def _answer(self, job: Job[AnyAttempt]) -> None:
        attempt = job.attempt
        if attempt is None or attempt.question is None:
            return
        number, key, model_id = attempt.question.number, attempt.question.key, job.task.model_id
        if not self._index.is_pending(key, model_id):
            answer = Answer(number=number, owner=self._index.claim(key, model_id))
        elif time.monotonic() - attempt.asked > _DEFER_SECONDS:
            answer = Answer(number=number, defer=True)
        else:
            return
        self._reply(attempt, answer)
        if not answer.defer:
            attempt.question = None

    def _end_if_stalled(self, job: Job[AnyAttempt]) -> None:
        attempt = job.attempt
        if attempt is None or not attempt.has_stalled():
            return
        self._detach(job)
        self._end(attempt, force=True)
        self._count(job, attempt, self._stalled(attempt))
