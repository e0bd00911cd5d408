"""The engine `threads`: threads of this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings
from filtercrawl.config.device import select_device
from filtercrawl.dataset.files.unpublished import TEMPORARY
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.crawling.crawl import Crawler
from filtercrawl.pipeline.crawling.stage_layers import LayerStager
from filtercrawl.pipeline.crawling.weighted_semaphore import WeightedSemaphore
from filtercrawl.pipeline.engines.engine import files_of, n_crawled, on_this_machine
from filtercrawl.pipeline.process_settings import crawl_process_settings, limit_torch_threads
from filtercrawl.pipeline.records import CrawlResult, CrawlTask
from filtercrawl.transport import MeasuredTransport


@dataclass(frozen=True, kw_only=True)
class ThreadEngine:
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

    @property
    def retries(self) -> int:
        """None: the transport of the run counts all."""
        return 0

    def crawl(self, task: CrawlTask) -> CrawlResult:
        """Crawl one task in the calling thread."""
        return self.crawler.crawl(task)

    def results(self, tasks: Sequence[CrawlTask], may_start: Callable[[], bool]) -> Generator[CrawlResult, None, None]:
        """Crawl tasks in worker threads and yield the results in their order."""
        with crawl_process_settings():
            yield from self._results(tasks, may_start)

    def _results(self, tasks: Sequence[CrawlTask], may_start: Callable[[], bool]) -> Iterator[CrawlResult]:
        n_threads = n_crawled(self.jobs)
        waiting = deque(tasks)
        started: deque[_StartedTask] = deque()
        pool = ThreadPoolExecutor(n_threads, "crawl", initializer=limit_torch_threads)
        try:
            while True:
                files_in_use = {name for other in started for name in other.files}
                while waiting and may_start():
                    files = files_of(waiting[0])
                    most = self.jobs + 1 if on_this_machine(waiting[0]) else n_threads
                    if len(started) >= most or files & files_in_use:
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


def crawler_of(
    settings: Settings,
    plugins: Plugins,
    index: ContentIndex,
    transport: MeasuredTransport,
    cancellation: CancellationToken,
) -> Crawler:
    """Return the crawler that all threads share.

    Args:
        settings: Settings of the run.
        plugins: What reads and measures.
        index: Contents that are known or being read.
        transport: Network access.
        cancellation: Ends the run.

    Raises:
        UsageError: The device of the settings cannot be used.
    """
    return Crawler(
        sources=plugins.sources,
        readers=plugins.readers,
        transport=transport,
        index=index,
        layer_stager=LayerStager(
            staging=settings.dataset / TEMPORARY,
            device=select_device(settings.device),
            measures=plugins.measures,
            cancellation=cancellation,
        ),
        write_slots=WeightedSemaphore(settings.jobs),
        verify_all=settings.prove,
        cancellation=cancellation,
    )
