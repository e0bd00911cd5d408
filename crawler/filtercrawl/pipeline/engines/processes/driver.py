"""The driver of a run in worker processes of this machine."""

from __future__ import annotations

import secrets
import signal
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import EngineError
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.engine import n_crawled, on_this_machine
from filtercrawl.pipeline.engines.processes.limits import (
    MAX_FALSE_STARTS,
    MAX_RETRIES,
    NO_MEMORY,
    AttemptLimits,
)
from filtercrawl.pipeline.engines.processes.losses import KILLED, describe_exit
from filtercrawl.pipeline.engines.processes.messages import (
    Admit,
    Admitted,
    AskPlace,
    Cancel,
    GiveBackPlace,
    LimitedOrder,
    Place,
    ProcessLimits,
)
from filtercrawl.pipeline.engines.processes.server_handle import ForkServer, UnreadableMessageError, WorkerProcess
from filtercrawl.pipeline.engines.workers.attempt import Attempt, Job, Loss
from filtercrawl.pipeline.engines.workers.budget import Budget
from filtercrawl.pipeline.engines.workers.driver import Driver
from filtercrawl.pipeline.engines.workers.messages import Answer, Finished, Started, Update
from filtercrawl.pipeline.records import OUT_OF_MEMORY

# Checkpoints that are finished or on their way beyond the one that is committed next, per worker.
_WINDOW_PER_WORKER: Final = 4
# Seconds that cancelled workers have to end their step.
_END_SECONDS: Final = 6.0


@dataclass(frozen=True, kw_only=True)
class ProcessRun:
    """What a run asks of its worker processes.

    Attributes:
        staging: Folder of the run for staged files.
        jobs: Checkpoints that are read at a time.
        limits: What each attempt may use.
        budget: What all workers together may still fetch.
    """

    staging: Path
    jobs: int
    limits: AttemptLimits
    budget: Budget


@dataclass(kw_only=True, eq=False)
class ProcessAttempt(Attempt):
    """A checkpoint that a worker process crawls.

    Attributes:
        limits: What it may use.
        worker: The process.
        local: Whether all its files are on this machine.
        waits: Whether it waits for a place to write.
        writes: Whether it has one.
    """

    limits: ProcessLimits
    worker: WorkerProcess
    local: bool
    waits: bool = False
    writes: bool = False

    def note(self, message: object) -> None:
        """Record what a message says about the attempt itself."""
        super().note(message)
        if isinstance(message, AskPlace):
            self.waits = True
        elif isinstance(message, GiveBackPlace):
            self.writes = False

    def has_stalled(self) -> bool:
        """Tell whether its worker has gone without progress for too long; waiting for a place is no stall."""
        return not self.waits and super().has_stalled()


class ProcessDriver(Driver[ProcessAttempt]):
    """Runs attempts in forks of a server.

    Args:
        run: What to run.
        server: Forks workers.
        index: Contents that are known or being read.
    """

    def __init__(self, run: ProcessRun, server: ForkServer, index: ContentIndex) -> None:
        super().__init__(index, run.staging, MAX_RETRIES)
        self._run = run
        self._idle: list[WorkerProcess] = []
        self._ended: list[ProcessAttempt] = []
        self._server = server
        self._false_starts = 0
        self._staging.mkdir(parents=True, exist_ok=True)

    @property
    def n_ahead(self) -> int:
        return _WINDOW_PER_WORKER * n_crawled(self._run.jobs)

    def has_room_for(self, job: Job[ProcessAttempt]) -> bool:
        """Tell whether a worker may start: `jobs` at a time, and some more that fetch their files."""
        running = self._running()
        if job.failures or any(attempt.limits.alone for attempt in running):
            return not running
        return len(running) < (self._run.jobs if on_this_machine(job.task) else n_crawled(self._run.jobs))

    def close(self) -> None:
        """End what still runs; its files are removed when the server has ended, and no worker is left to write."""
        try:
            self.cancel()
            deadline = time.monotonic() + _END_SECONDS
            while self._ended and time.monotonic() < deadline:
                for attempt in list(self._ended):
                    if attempt.worker.connection in wait([attempt.worker.connection], timeout=0.05):
                        self._receive_last(attempt)
        finally:
            for worker in (*self._idle, *(attempt.worker for attempt in self._ended)):
                self._server.kill(worker)

    def _begin(self, job: Job[ProcessAttempt]) -> ProcessAttempt:
        limits = self._run.limits.after(len(job.failures))
        name = secrets.token_hex(8)
        order = LimitedOrder(task=job.task, attempt=name, limits=limits, local=on_this_machine(job.task))
        while self._idle and not job.failures:  # another attempt gets a new process
            worker = self._idle.pop()
            try:
                worker.connection.send(order)
            except OSError:  # it was killed while it waited
                self._server.kill(worker)
                continue
            return ProcessAttempt(id=name, limits=limits, worker=worker, local=order.local)
        attempt = ProcessAttempt(id=name, limits=limits, worker=self._server.fork(), local=order.local)
        self._send(attempt, order)
        return attempt

    def _receive(self, timeout: float) -> None:
        until = time.monotonic() + timeout
        self._give_places()
        jobs = self._by_connection()
        ready: list[Any] = wait([*jobs, self._server.control], timeout)
        while ready:
            for connection in ready:
                if connection is self._server.control:
                    self._server.receive()
                elif connection in jobs:
                    self._receive_from(jobs[connection])
            self._give_places()
            jobs = self._by_connection()
            ready = wait([*jobs, self._server.control], 0) if jobs and time.monotonic() < until else []

    def _give_places(self) -> None:
        """Let those write that wait for it, in their order, as many at a time as there are jobs."""
        running = self._running()
        writing = sum(attempt.local or attempt.writes for attempt in running)
        for attempt in running:
            if attempt.waits and writing < self._run.jobs:
                attempt.waits, attempt.writes, attempt.last_progress = False, True, time.monotonic()
                writing += 1
                self._send(attempt, Place())

    def _running(self) -> list[ProcessAttempt]:
        return [job.attempt for job in self._jobs.values() if job.attempt is not None]

    def _by_connection(self) -> dict[Any, Job[ProcessAttempt]]:
        running = [job for job in self._jobs.values() if job.attempt is not None]
        return {job.attempt.worker.connection: job for job in running if job.attempt is not None}

    def _receive_from(self, job: Job[ProcessAttempt]) -> None:
        attempt = job.attempt
        assert attempt is not None
        try:
            message = attempt.worker.receive()
        except (EOFError, OSError):
            self._lose(job, self._loss_of(attempt))
            return
        except UnreadableMessageError as error:
            self._server.kill(attempt.worker)
            self._lose(job, Loss(reason=str(error), counts=True))
            return
        attempt.note(message)
        if isinstance(message, Started):
            self._false_starts = 0
        elif isinstance(message, Admit):
            self._send(attempt, Admitted(allowed=self._run.budget.admit(message.n_bytes)))
        elif isinstance(message, Update):
            self._note(message)
        elif isinstance(message, Finished):
            if message.result is not None and message.result.error == OUT_OF_MEMORY:
                self._server.kill(attempt.worker)  # what it holds may be in pieces
            else:
                self._idle.append(attempt.worker)
            self._finish(job, message)

    def _receive_last(self, attempt: ProcessAttempt) -> None:
        """Receive from a worker that was asked to end."""
        try:
            message = attempt.worker.receive()
        except (EOFError, OSError, UnreadableMessageError):
            self._server.kill(attempt.worker)
            self._ended.remove(attempt)
            return
        if isinstance(message, Finished):
            self._note(message.update)
            self._ended.remove(attempt)
            self._idle.append(attempt.worker)
        elif isinstance(message, Update):
            self._note(message)

    def _loss_of(self, attempt: ProcessAttempt) -> Loss:
        """Tell why a worker ended whose connection has ended.

        Raises:
            EngineError: Workers end before they begin.
        """
        code = self._server.exit_code(attempt.worker)
        with_server = not self._server.is_of(attempt.worker)
        reason = KILLED if with_server else describe_exit(code, attempt.limits)
        loss = Loss(reason=reason, counts=True, final=code == -signal.SIGPROF)
        if attempt.node is not None:
            return loss
        self._false_starts += 1
        if self._false_starts > MAX_FALSE_STARTS:
            raise EngineError(f"worker processes end before they begin: {loss.reason}; --engine threads does without")
        return replace(loss, counts=False)

    def _out_of_memory(self, attempt: ProcessAttempt) -> Loss:
        return Loss(reason=describe_exit(NO_MEMORY, attempt.limits), counts=True)

    def _stalled(self, attempt: ProcessAttempt) -> Loss:
        return Loss(reason=f"{super()._stalled(attempt).reason}; --stall-timeout allows more", counts=True)

    def _reply(self, attempt: ProcessAttempt, answer: Answer) -> None:
        self._send(attempt, answer)

    def _end(self, attempt: ProcessAttempt, *, force: bool) -> None:
        if force:
            self._server.kill(attempt.worker)
        else:
            self._send(attempt, Cancel())
            self._ended.append(attempt)

    def _send(self, attempt: ProcessAttempt, message: LimitedOrder | Answer | Admitted | Place | Cancel) -> None:
        try:
            attempt.worker.connection.send(message)
        except OSError:  # it has ended; the next attempt to receive from it tells how
            return

    def _describe_failures(self, job: Job[ProcessAttempt]) -> str:
        return f"not read in {len(job.failures)} attempts, the last one alone with twice the limits: {job.failures[-1]}"
