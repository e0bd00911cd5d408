"""The driver of a run on a Ray cluster: starts attempts, receives what workers tell, answers, and retries."""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import ray

from filtercrawl.api.errors import EngineError
from filtercrawl.config.fields import show_duration
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.crawling.crawl import OUT_OF_MEMORY
from filtercrawl.pipeline.engines.ray_cluster.attempt import Attempt, Job
from filtercrawl.pipeline.engines.ray_cluster.cluster import RayCluster, here
from filtercrawl.pipeline.engines.ray_cluster.coordinator import Answer, Coordinator
from filtercrawl.pipeline.engines.ray_cluster.limits import MAX_RETRIES, describe_failures, limits_of
from filtercrawl.pipeline.engines.ray_cluster.log_records import replay
from filtercrawl.pipeline.engines.ray_cluster.losses import Loss, loss_of
from filtercrawl.pipeline.engines.ray_cluster.messages import (
    MARKER,
    Finished,
    Order,
    Started,
    Update,
    WorkerSettings,
)
from filtercrawl.pipeline.engines.ray_cluster.worker import crawl_checkpoint
from filtercrawl.pipeline.records import CrawlResult

logger = logging.getLogger(__name__)

# Workers in a row that ended before they could begin, after which the cluster is given up.
_MAX_FALSE_STARTS: Final = 20
# Seconds that a worker waits for an earlier checkpoint with the same content before it gives its place to another.
_DEFER_SECONDS: Final = 10.0
# Seconds that cancelled workers have to end their step.
_END_SECONDS: Final = 6.0
# Messages of a worker that are not received yet; more make it wait, so that a file is never in memory as a whole.
_UNRECEIVED_MESSAGES: Final = 8


@dataclass(frozen=True, kw_only=True)
class RayRun:
    """What a run asks of a cluster.

    Attributes:
        address: Address of the cluster; None for the default.
        settings: Settings of the workers, as far as they do not depend on the cluster.
        stall_timeout: Seconds that a worker may go without progress.
        max_requests: Requests that workers may send; None for no limit.
        max_bytes: Bytes that workers may receive; None for no limit.
    """

    address: str | None
    settings: WorkerSettings
    stall_timeout: float
    max_requests: int | None
    max_bytes: int | None


class Driver:
    """A connected run.

    Args:
        run: What to run, and where.
        index: Contents that are known or being read.

    Attributes:
        requests: Requests that workers have told of.
    """

    def __init__(self, run: RayRun, index: ContentIndex) -> None:
        self.requests = 0
        self._run = run
        self._index = index
        self._cluster = RayCluster(run.address)
        self._staging: Path = run.settings.staging
        self._false_starts = 0
        self._jobs: dict[Any, Job] = {}  # by the stream of the attempt in progress
        self._ended: list[Attempt] = []
        self._gpu = run.settings.device.startswith("cuda") or (run.settings.device == "auto" and self._cluster.has_gpu)
        if self._gpu and not self._cluster.has_gpu:
            self._cluster.close()
            raise EngineError(f"--device {run.settings.device}: no machine of the Ray cluster offers a GPU")
        self._staging.mkdir(parents=True)
        (self._staging / MARKER).write_text(run.settings.marker, "utf-8")
        actor = ray.remote(Coordinator).options(
            num_cpus=0, max_restarts=-1, max_task_retries=-1, max_concurrency=1000, scheduling_strategy=here()
        )
        self._coordinator = actor.remote(run.max_requests, run.max_bytes)
        self._settings = ray.put(replace(run.settings, sharers=self._cluster.n_cpus))
        self._crawl = ray.remote(crawl_checkpoint)

    @property
    def n_cpus(self) -> int:
        return self._cluster.n_cpus

    @property
    def has_room(self) -> bool:
        """Whether an attempt would start soon: as many again as run may wait, so that no CPU does."""
        return len(self._jobs) < 2 * self.n_cpus + 2

    def start(self, job: Job) -> None:
        """Start an attempt."""
        limits = limits_of(job.task, len(job.failures), self._run.stall_timeout)
        name = secrets.token_hex(8)
        options = self._cluster.options(limits, gpu=self._gpu, avoid=job.avoid)
        stream = self._crawl.options(
            **options,
            name=f"crawl {job.task.model_id}",
            num_returns="streaming",
            _generator_backpressure_num_objects=_UNRECEIVED_MESSAGES,
        ).remote(self._settings, Order(task=job.task, attempt=name), self._coordinator)
        job.attempt = Attempt(id=name, stream=stream, limits=limits, received=self._staging / f"{name}.parquet")
        job.deferred = None
        self._jobs[stream] = job

    def receive(self, timeout: float) -> None:
        """Receive what workers tell, and look after those that tell nothing.

        Args:
            timeout: Seconds to wait for the first message, and seconds after which to return although there are more.

        Raises:
            EngineError: A worker refuses to work, or none starts.
        """
        ready: list[Any] = []
        until = time.monotonic() + timeout
        if self._jobs:
            ready, _ = ray.wait(list(self._jobs), num_returns=1, timeout=timeout)
        else:
            time.sleep(timeout)
        while ready:
            for stream in ready:
                self._receive_from(self._jobs[stream])
            ready = []
            if self._jobs and time.monotonic() < until:
                ready, _ = ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=0)
        for job in list(self._jobs.values()):
            self._answer(job)
            self._end_if_stalled(job)

    def cancel(self) -> None:
        """End all attempts; their jobs are left for the next run."""
        for job in list(self._jobs.values()):
            attempt = self._detach(job)
            attempt.end(force=False)
            self._ended.append(attempt)
            job.finish(None)

    def close(self) -> None:
        """End what still runs, remove its files, and disconnect."""
        self.cancel()
        deadline = time.monotonic() + _END_SECONDS
        try:
            for attempt in self._ended:
                done = ray.wait([attempt.stream.completed()], timeout=max(0.0, deadline - time.monotonic()))[0]
                if not done:
                    attempt.end(force=True)
            ray.kill(self._coordinator)
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._cluster.close()

    def _detach(self, job: Job) -> Attempt:
        attempt = job.attempt
        assert attempt is not None
        del self._jobs[attempt.stream]
        job.attempt = None
        return attempt

    def _receive_from(self, job: Job) -> None:
        attempt = job.attempt
        assert attempt is not None
        try:
            message = attempt.next_message()
        except StopIteration:
            self._lose(job, Loss(reason="its process ended early", counts=True))
            return
        except ray.exceptions.RayError as error:
            self._lose(job, loss_of(error, started=attempt.node is not None))
            return
        if isinstance(message, Started):
            self._false_starts = 0
        elif isinstance(message, Update):
            self._note(message)
        elif isinstance(message, Finished):
            self._note(message.update)
            self._finish(job, message)

    def _note(self, update: Update) -> None:
        self.requests += update.requests
        replay(update.logs)

    def _finish(self, job: Job, message: Finished) -> None:
        attempt = self._detach(job)
        if message.deferred:
            assert attempt.question is not None
            job.deferred = attempt.question.key
        elif message.result is None:
            job.finish(None)
        elif message.result.error == OUT_OF_MEMORY:
            self._count(job, attempt, Loss(reason="ran out of memory", counts=True))
        else:
            result = attempt.with_file(replace(message.result, task=job.task))
            if result is None:
                self._count(job, attempt, Loss(reason="its file did not arrive", counts=True))
            else:
                job.finish(result)

    def _lose(self, job: Job, loss: Loss) -> None:
        attempt = self._detach(job)
        if attempt.node is None:
            self._false_starts += 1
            if self._false_starts > _MAX_FALSE_STARTS:
                raise EngineError(f"workers of the Ray cluster end before they begin: {loss.reason}; see `ray logs`")
        self._count(job, attempt, loss)

    def _count(self, job: Job, attempt: Attempt, loss: Loss) -> None:
        """Record a loss: the job is tried again, or fails."""
        job.avoid = attempt.node
        attempt.received.unlink(missing_ok=True)
        shutil.rmtree(self._staging / attempt.id, ignore_errors=True)
        if loss.counts:
            job.failures.append(loss.reason)
        failed = len(job.failures) > MAX_RETRIES
        what = "failed" if failed else "tried again"
        logger.warning("%s: %s; %s", job.task.model_id, loss.reason, what, extra={"checkpoint": job.task.model_id})
        if failed:
            job.finish(CrawlResult(task=job.task, error=describe_failures(job.failures)))

    def _answer(self, job: Job) -> None:
        attempt = job.attempt
        if attempt is None or attempt.question is None:
            return
        key, model_id = attempt.question.key, job.task.model_id
        if not self._index.is_pending(key, model_id):
            answer = Answer(owner=self._index.claim(key, model_id))
        elif time.monotonic() - attempt.asked > _DEFER_SECONDS:
            answer = Answer(defer=True)
        else:
            return
        self._coordinator.reply.remote(attempt.id, attempt.question.number, answer)
        if not answer.defer:
            attempt.question = None

    def _end_if_stalled(self, job: Job) -> None:
        attempt = job.attempt
        if attempt is None or not attempt.has_stalled():
            return
        self._detach(job)
        attempt.end(force=True)
        waited = show_duration(attempt.limits.stall_seconds)
        self._count(job, attempt, Loss(reason=f"no progress for {waited}", counts=True))
