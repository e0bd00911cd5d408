"""The engine `local`: threads of this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.checkpoint import is_local
from filtercrawl.api.errors import Cancelled
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.crawling.crawl import Crawler
from filtercrawl.pipeline.engines.engine import files_of
from filtercrawl.pipeline.process_settings import limit_torch_threads
from filtercrawl.pipeline.records import CrawlResult, CrawlTask

# Checkpoints that are fetched while others are written.
PREFETCHED_TASKS: Final = 3


@dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """Crawls tasks in threads of this process.

    `jobs` checkpoints are written at a time. Some more are fetched meanwhile, since the network waits more than it
    works.

    Attributes:
        crawler: Crawls one task, in a worker thread.
        index: Contents that are known or being read; what the crawler asks.
        jobs: How many checkpoints are written at a time.
    """

    crawler: Crawler
    index: ContentIndex
    jobs: int

    @property
    def requests(self) -> int:
        """None: the transport of the run counts all."""
        return 0

    def crawl(self, task: CrawlTask) -> CrawlResult:
        """Crawl one task in the calling thread."""
        return self.crawler.crawl(task)

    def results(self, tasks: Sequence[CrawlTask], may_start: Callable[[], bool]) -> Generator[CrawlResult, None, None]:
        """Crawl tasks in worker threads and yield the results in their order."""
        n_threads = self.jobs + 1 + PREFETCHED_TASKS
        waiting = deque(tasks)
        started: deque[_StartedTask] = deque()
        pool = ThreadPoolExecutor(n_threads, "crawl", initializer=limit_torch_threads)
        try:
            while True:
                files_in_use = {name for other in started for name in other.files}
                while waiting and may_start():
                    files = files_of(waiting[0])
                    on_this_machine = all(map(is_local, waiting[0].checkpoint.files))
                    if len(started) >= (self.jobs + 1 if on_this_machine else n_threads) or files & files_in_use:
                        break
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
                    self.index.release(first.task.model_id)
        finally:
            self.index.close()
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
