"""What an engine is."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Final, Protocol

from filtercrawl.api.checkpoint import is_local
from filtercrawl.pipeline.records import CrawlResult, CrawlTask

# Checkpoints that are fetched while others are written.
_PREFETCHED: Final = 3


class Engine(Protocol):
    """Runs crawl tasks. Only the process of the run commits what comes of them: an engine never sees the catalog.

    The results are those of any other engine, byte for byte: which engine ran a task is not recorded.
    """

    @property
    def requests(self) -> int:
        """Requests that were sent in other processes, and so are not counted by the transport of the run."""
        ...

    @property
    def retries(self) -> int:
        """Those of them that failed and were tried again."""
        ...

    def crawl(self, task: CrawlTask) -> CrawlResult:
        """Crawl one task and wait for its result; may be called while `results` waits for its caller.

        Raises:
            Cancelled: The run is to end.
        """
        ...

    def results(self, tasks: Sequence[CrawlTask], may_start: Callable[[], bool]) -> Generator[CrawlResult, None, None]:
        """Crawl tasks side by side and yield the results in their order.

        A task counts as finished when the caller asks for the next result; close the generator to end early.

        Args:
            tasks: What to crawl, in the order of their model ids.
            may_start: Asked before each task; once it returns false, only the tasks that have begun are finished.

        Yields:
            A result for each task that was started and not cancelled.
        """
        ...


def n_crawled(jobs: int) -> int:
    """Return how many checkpoints on servers are crawled at a time: the network waits more than it works."""
    return jobs + 1 + _PREFETCHED


def files_of(task: CrawlTask) -> set[str]:
    """Return the URLs and declared hashes of the files of a task.

    Two tasks that share one do not run at the same time: what one fetches, the other need not fetch again.
    """
    return {name for file in task.checkpoint.files for name in (file.url, file.sha256) if name}


def on_this_machine(task: CrawlTask) -> bool:
    """Tell whether all files of a task are on this machine."""
    return all(map(is_local, task.checkpoint.files))
