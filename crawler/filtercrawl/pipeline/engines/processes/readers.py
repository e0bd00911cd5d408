"""Readers in a worker process, for what is asked about files before they are crawled."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import EngineError
from filtercrawl.pipeline.discovery.file_questions import Question
from filtercrawl.pipeline.engines.processes.limits import MAX_FALSE_STARTS
from filtercrawl.pipeline.engines.processes.messages import Ask, ProcessLimits, Replied
from filtercrawl.pipeline.engines.processes.server_handle import ForkServer, UnreadableMessageError, WorkerProcess
from filtercrawl.pipeline.engines.workers.log_records import replay
from filtercrawl.pipeline.engines.workers.messages import Started, Update

logger = logging.getLogger(__name__)

Subject = TypeVar("Subject")
Reply = TypeVar("Reply")
# How often a wait for an answer looks at its cancellation token.
_POLL_SECONDS: Final = 0.1
# A question is about the structure of a file, or of two of which one names the other.
QUESTION_FILES: Final = 2
# Time that an answer may take.
QUESTION_SECONDS: Final = 60.0


class ReadersInWorker:
    """Readers that answer in a worker process; implements `filtercrawl.pipeline.discovery.file_questions.FileReaders`.

    A file over which they crash, hang or take too much has no answer, and another worker goes on after it. A worker
    that ends before it begins, as if it is killed while it waits, says nothing about a file.

    Args:
        server: Forks workers.
        limits: What one answer may use.
        cancellation: Ends a wait for an answer.
    """

    def __init__(self, server: ForkServer, limits: ProcessLimits, cancellation: CancellationToken) -> None:
        self._server = server
        self._limits = limits
        self._cancellation = cancellation
        self._idle: WorkerProcess | None = None

    def ask(
        self,
        question: Question[Subject, Reply],
        subjects: Sequence[Subject],
        unanswered: Callable[[Subject], Reply],
    ) -> Iterator[Reply]:
        """Yield the answer about each subject.

        Raises:
            Cancelled: The run is to end.
            EngineError: No worker can be started.
        """
        rest, false_starts = tuple(subjects), 0
        while rest:
            worker, self._idle = self._idle or self._server.fork(), None
            began, n = False, 0
            for message in self._messages(worker, Ask(question=question, subjects=rest, limits=self._limits)):
                began = True
                if isinstance(message, Replied):
                    n += 1
                    if n == len(rest):
                        self._idle = worker
                    yield unanswered(rest[n - 1]) if message.failed else message.value
            if n == len(rest):
                return
            self._server.kill(worker)
            rest = rest[n:]
            if began:
                logger.debug("the readers have no answer about a file; another process goes on after it")
                yield unanswered(rest[0])
                rest, false_starts = rest[1:], 0
            elif (false_starts := false_starts + 1) > MAX_FALSE_STARTS:
                raise EngineError("worker processes end before they begin; --engine threads does without")

    def _messages(self, worker: WorkerProcess, order: Ask) -> Iterator[Started | Replied]:
        """Yield what a worker says of an order, until all replies are there or it is lost."""
        try:
            worker.connection.send(order)
            left = len(order.subjects)
            while left:
                message = self._next(worker)
                if message is None:
                    return
                if isinstance(message, Update):
                    replay(message.logs)
                    continue
                if isinstance(message, Replied):
                    replay(message.update.logs)
                    left -= 1
                yield message
        except (EOFError, OSError, UnreadableMessageError):  # it has ended, or is in pieces
            return

    def _next(self, worker: WorkerProcess) -> Any:
        """Return the next message, None if it takes too long; the time begins when the worker does."""
        waited_since = time.monotonic() if worker.started else None
        while not worker.connection.poll(_POLL_SECONDS):
            if self._cancellation.cancelled:
                self._server.kill(worker)
            self._cancellation.raise_if_cancelled()
            if waited_since is not None and time.monotonic() - waited_since > self._limits.stall_seconds:
                return None
        message = worker.receive()
        worker.started = worker.started or isinstance(message, Started)
        return message
