"""Carry out a plan: have an engine crawl its tasks, and commit the results in the order of the plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled, DatasetError
from filtercrawl.api.progress import Progress
from filtercrawl.config import Settings
from filtercrawl.dataset.files.layer_store import LayerStore
from filtercrawl.dataset.tables.staged_layers import discard
from filtercrawl.pipeline.committing.commit import CatalogWriter
from filtercrawl.pipeline.engines.engine import Engine
from filtercrawl.pipeline.records import OUT_OF_MEMORY, CommitOutcome, CrawlResult, CrawlTask
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.run_log import log_checkpoint


@dataclass(frozen=True, kw_only=True)
class PlanExecutor:
    """Has the tasks of a plan crawled and commits what comes of them.

    Attributes:
        engine: Crawls the tasks.
        writer: Commits one result, in the thread of the caller.
        layer_store: Where the layers files are stored.
        settings: The budgets of the run.
        progress: Receives a line for each checkpoint.
        cancellation: Ends the run.
        deadline: When no more checkpoints may start, of `time.monotonic`; None for no limit.
        save: Called after each commit; saves, now and then, what was committed.
        committed: The model ids of the tasks whose results were committed.
    """

    engine: Engine
    writer: CatalogWriter
    layer_store: LayerStore
    settings: Settings
    progress: Progress
    cancellation: CancellationToken
    deadline: float | None = None
    save: Callable[[], None] = lambda: None
    committed: set[str] = field(default_factory=set)

    def execute(self, tasks: Sequence[CrawlTask], report: SyncReport) -> None:
        """Crawl tasks and commit each result; ends early when cancelled or when a budget is used up.

        Raises:
            DatasetError: The disk is full, or the catalog cannot be used; what was committed before is kept.
        """

        def may_start() -> bool:
            return not self.cancellation.cancelled and not report.budget_exhausted(self.settings, self.deadline)

        emitted: list[CrawlTask] = []
        self.progress.start(len(tasks))
        results = self.engine.results(tasks, may_start)
        with closing(results), suppress(Cancelled):  # what was committed is exported all the same
            self._free_space_if_full(report)
            for crawled in results:
                if crawled.dataset_error is not None:
                    raise DatasetError(crawled.dataset_error)
                started = time.perf_counter()
                result, outcome = self._commit(crawled)
                self.committed.add(result.task.model_id)
                report.count(result, outcome)
                if outcome == "emitted":
                    emitted.append(result.task)
                commit_seconds = time.perf_counter() - started
                report.work_seconds["commit"] += commit_seconds
                log_checkpoint(result, outcome, commit_seconds)
                model_id = result.task.model_id
                if result.structure_error is not None:
                    self.progress.message(f"{model_id}: no structure from its graph: {result.structure_error}")
                self.progress.done(model_id, result.error or outcome)
                self._free_space_if_full(report)
                self.save()
        for task in emitted:
            if self.writer.became_duplicate(task.model_id):
                report.count_as_duplicate(task)

    def _commit(self, result: CrawlResult) -> tuple[CrawlResult, CommitOutcome]:
        """Commit one result, and return the result that was committed with its outcome.

        A checkpoint that was to take over the weights of a duplicate is crawled itself if those weights are lost.
        """
        try:
            while (outcome := self.writer.commit(result)) == "must_recrawl":
                result = self.engine.crawl(result.task)
        except MemoryError:  # the transaction was rolled back
            discard(result.layers)
            result = CrawlResult(task=result.task, error=OUT_OF_MEMORY)
            outcome = self.writer.commit(result)
        return result, outcome

    def _free_space_if_full(self, report: SyncReport) -> None:
        """Have layers files moved elsewhere when they take all the space that they may."""
        if report.disk_is_full(self.settings):
            report.bytes_on_disk = self.layer_store.free_space()
