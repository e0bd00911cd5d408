"""Checkpoints side by side: some are fetched while others are written, and all come in the order of the plan."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import torch
from threadpoolctl import threadpool_limits

from filtercrawl.api.errors import Cancelled
from filtercrawl.pipeline.context import SyncContext
from filtercrawl.pipeline.crawling.crawl import crawl
from filtercrawl.pipeline.crawling.result import CrawlResult
from filtercrawl.pipeline.crawling.worker_context import WorkerContext
from filtercrawl.pipeline.planning.types import CrawlTask
from filtercrawl.pipeline.report import Report

# Checkpoints that are fetched while others are written.
PREFETCHED_TASKS: Final = 3


def crawl_concurrently(
    tasks: Sequence[CrawlTask], context: WorkerContext, run: SyncContext, report: Report
) -> Iterator[CrawlResult]:
    """Crawl in parallel and yield in the order of the plan, a few checkpoints ahead at most.

    `jobs` of them are written at a time; some more are fetched meanwhile, for the network waits more than it works.
    """
    settings = run.settings
    most = settings.jobs + 1 + PREFETCHED_TASKS
    waiting = deque(tasks if settings.limit is None else tasks[: settings.limit])
    run.progress.start(len(waiting))
    deadline = None if settings.time_limit is None else time.monotonic() + settings.time_limit
    # Checkpoints side by side use the cores; threads inside an operation of 8,192 kernels wait for each other more than
    # they help (measured: five times slower on a busy machine). torch counts them a thread, numpy a process.
    pool = ThreadPoolExecutor(most, "crawl", initializer=torch.set_num_threads, initargs=(1,))
    products = threadpool_limits(1, user_api="blas")
    ahead: deque[tuple[set[str], Future[CrawlResult]]] = deque()
    settled = 0
    try:
        while True:
            in_hand = {name for names, _ in ahead for name in names}
            while waiting and not run.cancellation.cancelled and not report.budget_exhausted(settings, deadline):
                files = {name for file in waiting[0].checkpoint.files for name in (file.url, file.sha256) if name}
                local = all(file.url.startswith("file:") for file in waiting[0].checkpoint.files)
                if len(ahead) >= (settings.jobs + 1 if local else most) or files & in_hand:
                    break  # what another one fetches now need not be fetched a second time
                ahead.append((files, pool.submit(crawl, waiting.popleft(), context)))
                in_hand |= files
            if not ahead:
                break
            try:
                yield ahead.popleft()[1].result()
                settled += 1
            except Cancelled:
                continue
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        products.restore_original_limits()
        report.n_left = len(tasks) - settled
