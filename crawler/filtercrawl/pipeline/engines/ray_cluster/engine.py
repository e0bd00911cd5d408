"""The engine `ray` in the process of the run: which checkpoint is tried when, and what is made of losses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.engine import files_of
from filtercrawl.pipeline.engines.ray_cluster.attempt import Job
from filtercrawl.pipeline.engines.ray_cluster.driver import Driver, RayRun
from filtercrawl.pipeline.records import CrawlResult, CrawlTask

# Checkpoints that are finished or on their way, beyond the one that is committed next: per CPU, and besides.
_WINDOW_PER_CPU: Final = 8
_WINDOW: Final = 32
# How long to wait for news before looking at the clock, at cancellation and at the size of the cluster.
_POLL_SECONDS: Final = 0.5


class RayEngine:
    """Crawls tasks on a Ray cluster; implements `filtercrawl.pipeline.engines.engine.Engine`.

    Nothing is connected before the first task starts.

    Args:
        run: What a run asks of the cluster.
        index: Contents that are known or being read.
        cancellation: Ends the run.
    """

    def __init__(self, run: RayRun, index: ContentIndex, cancellation: CancellationToken) -> None:
        self._run = run
        self._index = index
        self._cancellation = cancellation
        self._driver: Driver | None = None
        self._requests = 0

    @property
    def requests(self) -> int:
        """Requests that workers have sent."""
        return self._requests + (self._driver.requests if self._driver is not None else 0)

    def crawl(self, task: CrawlTask) -> CrawlResult:
        """Crawl one task and wait for its result."""
        driver, job = self._connected(), Job(task=task, files=set())
        while not job.done:
            self._cancellation.raise_if_cancelled()
            if job.attempt is None and not self._is_deferred(job):
                driver.start(job)
            self._wait(driver)
        if job.result is None:
            raise Cancelled
        return job.result

    def results(self, tasks: Sequence[CrawlTask], may_start: Callable[[], bool]) -> Generator[CrawlResult, None, None]:
        """Crawl tasks on the cluster and yield the results in their order."""
        waiting, jobs = deque(tasks), deque[Job]()
        try:
            while True:
                self._start(waiting, jobs, may_start)
                if not jobs:
                    break
                if not jobs[0].done:
                    self._wait(self._connected())
                    continue
                first = jobs.popleft()
                try:
                    if first.result is not None:
                        yield first.result
                finally:
                    self._index.release(first.task.model_id)
        finally:
            self._index.close()
            self._disconnect()

    def _start(self, waiting: deque[CrawlTask], jobs: deque[Job], may_start: Callable[[], bool]) -> None:
        """Start what may be started; what may not be started any more is finished without a result."""
        if waiting and may_start():
            driver = self._connected()
            while waiting and len(jobs) < _WINDOW + _WINDOW_PER_CPU * driver.n_cpus:
                task = waiting.popleft()
                jobs.append(Job(task=task, files=files_of(task)))
        in_use: set[str] = set()
        for job in jobs:
            if not (job.done or job.attempt is not None or job.files & in_use or self._is_deferred(job)):
                if self._cancellation.cancelled or not (job.failures or may_start()):
                    job.finish(None)
                elif self._connected().has_room:
                    self._connected().start(job)
            in_use |= job.files

    def _is_deferred(self, job: Job) -> bool:
        return job.deferred is not None and self._index.is_pending(job.deferred, job.task.model_id)

    def _wait(self, driver: Driver) -> None:
        """Wait for news of the workers, but not for long."""
        if self._cancellation.cancelled:
            driver.cancel()
        driver.receive(_POLL_SECONDS)

    def _connected(self) -> Driver:
        if self._driver is None:
            self._driver = Driver(self._run, self._index)
        return self._driver

    def _disconnect(self) -> None:
        if self._driver is not None:
            self._requests += self._driver.requests
            driver, self._driver = self._driver, None
            driver.close()
