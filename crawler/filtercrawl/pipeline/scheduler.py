"""Crawl checkpoints concurrently and return the results in the order of the plan."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import Cancelled
from filtercrawl.pipeline.crawling.crawl import CrawlResult, WorkerContext, crawl
from filtercrawl.pipeline.planning.types import CrawlTask
from filtercrawl.pipeline.process_settings import limit_torch_threads

# Checkpoints that are fetched while others are written.
PREFETCHED_TASKS: Final = 3


def crawl_concurrently(
    tasks: Sequence[CrawlTask], context: WorkerContext, *, jobs: int, may_start: Callable[[], bool]
) -> Generator[CrawlResult, None, None]:
    """Crawl tasks in worker threads and yield the results in their order.

    `jobs` checkpoints are written at a time. Some more are fetched meanwhile, since the network waits more than it
    works. A task counts as finished when the caller asks for the next result; close the generator to end early.

    Args:
        tasks: What to crawl, in the order of their model ids.
        context: What workers share.
        jobs: How many checkpoints are written at a time.
        may_start: Asked before each task; once it returns false, only the tasks that have begun are finished.

    Yields:
        A result for each task that was started and not cancelled.
    """
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
                started.append(_StartedTask(task, files, pool.submit(crawl, task, context)))
                files_in_use |= files
            if not started:
                break
            first = started.popleft()
            try:
                yield first.result.result()
            except Cancelled:
                continue
            finally:
                context.index.release(first.task.model_id)
    finally:
        context.index.close()
        pool.shutdown(wait=True, cancel_futures=True)


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
