"""Carry out a plan: crawl its tasks on threads, and commit the results in the order of the plan."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import Cancelled
from filtercrawl.api.progress import Progress
from filtercrawl.config import Settings
from filtercrawl.dataset.files.layer_store import LayerStore
from filtercrawl.dataset.tables.staged_layers import discard
from filtercrawl.pipeline.committing.commit import CatalogWriter
from filtercrawl.pipeline.crawling.crawl import OUT_OF_MEMORY, Crawler
from filtercrawl.pipeline.process_settings import limit_torch_threads
from filtercrawl.pipeline.records import CommitOutcome, CrawlResult, CrawlTask
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.run_log import log_checkpoint

# Checkpoints that are fetched while others are written.
PREFETCHED_TASKS: Final = 3


@dataclass(frozen=True, kw_only=True)
class PlanExecutor:
    """Crawls the tasks of a plan and commits what comes of them.

    Attributes:
        crawler: Crawls one task, in a worker thread.
        writer: Commits one result, in the thread of the caller.
        layer_store: Where the layers files are stored.
        settings: How many checkpoints are written at a time, and the budgets of the run.
        progress: Receives a line for each checkpoint.
    """

    crawler: Crawler
    writer: CatalogWriter
    layer_store: LayerStore
    settings: Settings
    progress: Progress

    def execute(self, tasks: Sequence[CrawlTask], report: SyncReport) -> None:
        """Crawl tasks and commit each result; ends early when cancelled or when a budget is used up."""
        time_limit = self.settings.time_limit
        deadline = None if time_limit is None else time.monotonic() + time_limit

        def may_start() -> bool:
            return not self.crawler.cancellation.cancelled and not report.budget_exhausted(self.settings, deadline)

        emitted: list[CrawlTask] = []
        self.progress.start(len(tasks))
        results = self._crawl(tasks, may_start)
        with closing(results), suppress(Cancelled):  # what was committed is exported all the same
            self._free_space_if_full(report)
            for crawled in results:
                started = time.perf_counter()
                result, outcome = self._commit(crawled)
                report.count(result, outcome)
                if outcome == "emitted":
                    emitted.append(result.task)
                log_checkpoint(result, outcome, time.perf_counter() - started)
                model_id = result.task.model_id
                if result.structure_error is not None:
                    self.progress.message(f"{model_id}: no structure from its graph: {result.structure_error}")
                self.progress.done(model_id, result.error or outcome)
                self._free_space_if_full(report)
        for task in emitted:
            if self.writer.became_duplicate(task.model_id):
                report.count_as_duplicate(task)

    def _crawl(self, tasks: Sequence[CrawlTask], may_start: Callable[[], bool]) -> Generator[CrawlResult, None, None]:
        """Crawl tasks in worker threads and yield the results in their order.

        `jobs` checkpoints are written at a time. Some more are fetched meanwhile, since the network waits more than it
        works. A task counts as finished when the caller asks for the next result; close the generator to end early.

        Args:
            tasks: What to crawl, in the order of their model ids.
            may_start: Asked before each task; once it returns false, only the tasks that have begun are finished.

        Yields:
            A result for each task that was started and not cancelled.
        """
        jobs, index = self.settings.jobs, self.crawler.index
        n_threads = jobs + 1 + PREFETCHED_TASKS
        waiting = deque(tasks)
        started: deque[_StartedTask] = deque()
        pool = ThreadPoolExecutor(n_threads, "crawl", initializer=limit_torch_threads)
        try:
            while True:
                files_in_use = {name for other in started for name in other.files}
                while waiting and may_start():
                    files = {name for file in waiting[0].checkpoint.files for name in (file.url, file.sha256) if name}
                    is_local = all(file.url.startswith("file:") for file in waiting[0].checkpoint.files)
                    if len(started) >= (jobs + 1 if is_local else n_threads) or files & files_in_use:
                        break  # what another task fetches now need not be fetched a second time
                    task = waiting.popleft()
                    started.append(_StartedTask(task, files, pool.submit(self.crawler.crawl, task)))
                    files_in_use |= files
                if not started:
                    break
                first = started.popleft()
                try:
                    yield first.result.result()
                except Cancelled:
                    continue
                finally:
                    index.release(first.task.model_id)
        finally:
            index.close()
            pool.shutdown(wait=True, cancel_futures=True)

    def _commit(self, result: CrawlResult) -> tuple[CrawlResult, CommitOutcome]:
        """Commit one result, and return the result that was committed with its outcome.

        A checkpoint that was to take over the weights of a duplicate is crawled itself if those weights are lost.
        """
        try:
            while (outcome := self.writer.commit(result)) == "must_recrawl":
                result = self.crawler.crawl(result.task)
        except MemoryError:  # the transaction was rolled back
            discard(result.layers)
            result = CrawlResult(task=result.task, error=OUT_OF_MEMORY)
            outcome = self.writer.commit(result)
        return result, outcome

    def _free_space_if_full(self, report: SyncReport) -> None:
        """Have layers files moved elsewhere when they take all the space that they may."""
        if report.disk_is_full(self.settings):
            report.bytes_on_disk = self.layer_store.free_space()


@dataclass(frozen=True)
class _StartedTask:
    """A task that was given to a worker.

    Attributes:
        task: The task.
        files: URLs and declared hashes of its files.
        result: The result to come.
    """

    task: CrawlTask
    files: set[str]
    result: Future[CrawlResult]
