"""The driver of a run on a Ray cluster: starts attempts as Ray tasks and receives what they yield."""

from __future__ import annotations

import secrets
import shutil
import time
from dataclasses import dataclass, replace
from typing import Any, Final

import ray

from filtercrawl.api.errors import EngineError
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.ray_cluster.attempt import RayAttempt
from filtercrawl.pipeline.engines.ray_cluster.cluster import RayCluster, here
from filtercrawl.pipeline.engines.ray_cluster.coordinator import Coordinator
from filtercrawl.pipeline.engines.ray_cluster.limits import MAX_RETRIES, describe_failures, limits_of
from filtercrawl.pipeline.engines.ray_cluster.losses import loss_of
from filtercrawl.pipeline.engines.ray_cluster.messages import MARKER, RayWorkerSettings
from filtercrawl.pipeline.engines.ray_cluster.worker import crawl_checkpoint
from filtercrawl.pipeline.engines.workers.attempt import Job, Loss
from filtercrawl.pipeline.engines.workers.driver import Driver
from filtercrawl.pipeline.engines.workers.messages import Answer, Finished, Order, Started, Update
from filtercrawl.pipeline.records import CrawlResult

# Checkpoints that are finished or on their way, beyond the one that is committed next: per CPU, and besides.
_WINDOW_PER_CPU: Final = 8
_WINDOW: Final = 32
# Workers in a row that ended before they could begin, after which the cluster is given up.
_MAX_FALSE_STARTS: Final = 20
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
    settings: RayWorkerSettings
    stall_timeout: float
    max_requests: int | None
    max_bytes: int | None


class RayDriver(Driver[RayAttempt]):
    """A connected run.

    Args:
        run: What to run, and where.
        index: Contents that are known or being read.
    """

    def __init__(self, run: RayRun, index: ContentIndex) -> None:
        super().__init__(index, run.settings.staging, MAX_RETRIES)
        self._run = run
        self._cluster = RayCluster(run.address)
        self._false_starts = 0
        self._ended: list[RayAttempt] = []
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
    def n_ahead(self) -> int:
        return _WINDOW + _WINDOW_PER_CPU * self._cluster.n_cpus

    def has_room_for(self, job: Job[RayAttempt]) -> bool:  # noqa: ARG002 - Ray places it
        """Tell whether an attempt would start soon: as many again as run may wait, so that no CPU does."""
        return len(self._jobs) < 2 * self._cluster.n_cpus + 2

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

    def _begin(self, job: Job[RayAttempt]) -> RayAttempt:
        limits = limits_of(job.task, len(job.failures), self._run.stall_timeout)
        name = secrets.token_hex(8)
        options = self._cluster.options(limits, gpu=self._gpu, avoid=job.avoid)
        stream = self._crawl.options(
            **options,
            name=f"crawl {job.task.model_id}",
            num_returns="streaming",
            _generator_backpressure_num_objects=_UNRECEIVED_MESSAGES,
        ).remote(self._settings, Order(task=job.task, attempt=name), self._coordinator)
        return RayAttempt(id=name, stream=stream, limits=limits, received=self._staging / f"{name}.parquet")

    def _receive(self, timeout: float) -> None:
        until = time.monotonic() + timeout
        streams = self._streams()
        ready, _ = ray.wait(list(streams), num_returns=1, timeout=timeout)
        while ready:
            for stream in ready:
                self._receive_from(streams[stream])
            ready, streams = [], self._streams()
            if streams and time.monotonic() < until:
                ready, _ = ray.wait(list(streams), num_returns=len(streams), timeout=0)

    def _streams(self) -> dict[Any, Job[RayAttempt]]:
        return {job.attempt.stream: job for job in self._jobs.values() if job.attempt is not None}

    def _receive_from(self, job: Job[RayAttempt]) -> None:
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
            self._finish(job, message)

    def _lose(self, job: Job[RayAttempt], loss: Loss) -> None:
        if job.attempt is not None and job.attempt.node is None:
            self._false_starts += 1
            if self._false_starts > _MAX_FALSE_STARTS:
                raise EngineError(f"workers of the Ray cluster end before they begin: {loss.reason}; see `ray logs`")
        super()._lose(job, loss)

    def _count(self, job: Job[RayAttempt], attempt: RayAttempt, loss: Loss) -> None:
        attempt.received.unlink(missing_ok=True)
        super()._count(job, attempt, loss)

    def _reply(self, attempt: RayAttempt, answer: Answer) -> None:
        assert attempt.question is not None
        self._coordinator.reply.remote(attempt.id, attempt.question.number, answer)

    def _end(self, attempt: RayAttempt, *, force: bool) -> None:
        attempt.end(force=force)
        if not force:
            self._ended.append(attempt)

    def _with_file(self, attempt: RayAttempt, result: CrawlResult) -> CrawlResult | None:
        return attempt.with_file(result)

    def _describe_failures(self, job: Job[RayAttempt]) -> str:
        return describe_failures(job.failures)
