"""Crawls checkpoints in a worker process, one at a time, and keeps count of what there is to tell."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config.device import select_device
from filtercrawl.config.environment import cache_home
from filtercrawl.pipeline.crawling.crawl import ContentClaims, Crawler, WriteSlots, one_line
from filtercrawl.pipeline.crawling.reading_limit import ReadingLimit
from filtercrawl.pipeline.crawling.stage_layers import LayerStager
from filtercrawl.pipeline.crawling.unexpected_error import unexpected_reason
from filtercrawl.pipeline.engines.workers.log_records import LogCollector
from filtercrawl.pipeline.engines.workers.messages import Finished, Update, WorkerSettings
from filtercrawl.pipeline.process_settings import crawl_process_settings
from filtercrawl.pipeline.records import CrawlResult, CrawlTask
from filtercrawl.transport import network
from filtercrawl.transport.options import RUN_OPTIONS

# How often a worker tells that its work goes on.
UPDATE_SECONDS: Final = 1.0


class ContentDeferred(Cancelled):
    """An earlier checkpoint reads the same content; this one is tried again when that is finished."""


class TaskCrawler:
    """Crawls checkpoints in this process, whose log records it collects from now on.

    Args:
        settings: Settings of the run.
        plugins: What the process of the run uses.
        admit: Asked before each request where the run has a budget, with the bytes received since the last one.

    Attributes:
        cancellation: Cancel it to end the checkpoint in progress.
    """

    def __init__(self, settings: WorkerSettings, plugins: Plugins, admit: Callable[[int], bool]) -> None:
        self.cancellation = CancellationToken()
        self._settings = settings
        self._plugins = plugins
        self._admit = admit
        options = replace(
            RUN_OPTIONS.shared_by(settings.sharers), admit=self._admitted if settings.has_budget else None
        )
        found = replace(settings.network, cache=settings.network.cache or cache_home())
        self._transport = network(found, cancellation=self.cancellation, options=options)
        self._device = select_device(settings.device)
        self._process_settings = ExitStack()  # left when the process ends
        self._process_settings.enter_context(crawl_process_settings())
        self._logs = LogCollector()
        logging.getLogger().addHandler(self._logs)
        logging.getLogger().setLevel(settings.log_level)
        self._steps = 0
        self._told = (0, 0, 0)
        self._requests_told = self._retries_told = 0

    @property
    def on_cpu(self) -> bool:
        """Whether weights are converted and measured on the CPU."""
        return self._device.type == "cpu"

    def crawl(self, task: CrawlTask, staging: Path, claims: ContentClaims, slots: WriteSlots) -> Finished:
        """Crawl one checkpoint.

        Args:
            task: The checkpoint.
            staging: Folder of staged files.
            claims: Tells which checkpoint holds a content.
            slots: Limits how many checkpoints are written at a time.
        """
        crawler = Crawler(
            sources=self._plugins.sources,
            readers=self._plugins.readers,
            transport=self._transport,
            index=claims,
            layer_stager=LayerStager(
                staging=staging,
                device=self._device,
                measures=self._plugins.measures,
                cancellation=self.cancellation,
            ),
            write_slots=slots,
            verify_all=self._settings.verify_all,
            cancellation=self.cancellation,
            on_stage=self._count_step,
            limit_reading=partial(ReadingLimit, self._settings.reading_seconds),
        )
        try:
            return Finished(result=crawler.crawl(task))
        except ContentDeferred:
            return Finished(result=None, deferred=True)
        except Cancelled:
            return Finished(result=None)
        except BaseException as error:  # noqa: BLE001 - a plugin may raise SystemExit; the driver has to hear of it
            reason = one_line(unexpected_reason(error, self._plugins.readers))
            return Finished(result=CrawlResult(task=task, error=reason))

    def goes_on(self) -> bool:
        """Tell whether anything happened since this was asked last."""
        before, self._told = self._told, (self._steps, self._transport.requests, self._transport.bytes_fetched)
        return self._told != before

    def update(self) -> Update:
        """Return what there is to tell since the last call."""
        sent, self._requests_told = self._transport.requests - self._requests_told, self._transport.requests
        retries, self._retries_told = self._transport.retries - self._retries_told, self._transport.retries
        return Update(logs=self._logs.take(), requests=sent, retries=retries)

    def _count_step(self) -> None:
        self._steps += 1

    def _admitted(self, n_bytes: int) -> bool:
        self._steps += 1
        return self._admit(n_bytes)
