"""An engine whose workers are other processes: which checkpoint is tried when, and in which order results come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.engine import files_of
from filtercrawl.pipeline.engines.workers.attempt import Job
from filtercrawl.pipeline.engines.workers.driver import Driver
from filtercrawl.pipeline.records import CrawlResult, CrawlTask

# How long to wait for news before looking at the clock, at cancellation and at how many workers there are.
_POLL_SECONDS: Final = 0.5


class WorkerEngine:
    """Crawls tasks in worker processes; implements `filtercrawl.pipeline.engines.engine.Engine`.

    Args:
        connect: Returns the driver; called when the first task starts.
        index: Contents that are known or being read.
        cancellation: Ends the run.
    """

    def __init__(
        self, connect: Callable[[], Driver[Any]], index: ContentIndex, cancellation: CancellationToken
    ) -> None:
        self._connect = connect
        self._index = index
        self._cancellation = cancellation
        self._driver: Driver[Any] | None = None
        self._requests = 0
        self._retries = 0

    @property
    def requests(self) -> int:
        """Requests that workers have sent."""
        return self._requests + (self._driver.requests if self._driver is not None else 0)

    @property
    def retries(self) -> int:
        """Those of them that failed and were tried again."""
        return self._retries + (self._driver.retries if self._driver is not None else 0)

    def crawl(self, task: CrawlTask) -> CrawlResult:
        """Crawl one task and wait for its result."""
        driver, job = self._connected(), Job[Any](task=task, files=set())
        while not job.done:
            self._cancellation.raise_if_cancelled()
            if job.attempt is None and not self._is_deferred(job) and driver.has_room_for(job):
                driver.start(job)
            self._wait(driver)
        if job.result is None:
            raise Cancelled
        return job.result

    def results(self, tasks: Sequence[CrawlTask], may_start: Callable[[], bool]) -> Generator[CrawlResult, None, None]:
        """Crawl tasks in the workers and yield the results in their order."""
        waiting, jobs = deque(tasks), deque[Job[Any]]()
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

    def _start(self, waiting: deque[CrawlTask], jobs: deque[Job[Any]], may_start: Callable[[], bool]) -> None:
        """Start what may be started; what may not be started any more is finished without a result."""
        if waiting and may_start():
            driver = self._connected()
            while waiting and len(jobs) < driver.n_ahead:
                task = waiting.popleft()
                jobs.append(Job(task=task, files=files_of(task)))
        in_use: set[str] = set()
        for job in jobs:
            if not (job.done or job.attempt is not None or job.files & in_use or self._is_deferred(job)):
                if self._cancellation.cancelled or not (job.failures or may_start()):
                    job.finish(None)
                elif not self._connected().has_room_for(job):
                    break
                else:
                    self._connected().start(job)
            in_use |= job.files

    def _is_deferred(self, job: Job[Any]) -> bool:
        return job.deferred is not None and self._index.is_pending(job.deferred, job.task.model_id)

    def _wait(self, driver: Driver[Any]) -> None:
        """Wait for news of the workers, but not for long."""
        if self._cancellation.cancelled:
            driver.cancel()
        driver.receive(_POLL_SECONDS)

    def _connected(self) -> Driver[Any]:
        if self._driver is None:
            self._driver = self._connect()
        return self._driver

    def _disconnect(self) -> None:
        if self._driver is not None:
            self._requests += self._driver.requests
            self._retries += self._driver.retries
            driver, self._driver = self._driver, None
            driver.close()
