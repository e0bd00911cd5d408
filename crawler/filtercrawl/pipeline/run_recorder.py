"""Count what a run does and costs, and keep that in the catalog while it goes on."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled, DatasetError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.damage import CATALOG_ERRORS
from filtercrawl.dataset.schema.run_row import RUN_STAGES, WORK_STAGES, RunOutcome, RunRow
from filtercrawl.pipeline.crawling.stage_timer import StageTimer
from filtercrawl.pipeline.report import WORDS, SyncReport
from filtercrawl.pipeline.run_metrics import metrics_text, write_metrics

logger = logging.getLogger(__name__)

# Seconds of counts that a killed run may lose. To write them with every checkpoint would cost a write to the disk each.
_SAVE_EVERY: Final = 1.0


class CountsRequests(Protocol):
    """What sends requests and counts them: the transport of the run, and an engine for its workers."""

    @property
    def requests(self) -> int: ...

    @property
    def retries(self) -> int: ...


class RunRecorder:
    """Counts of one run, from when this is made.

    Args:
        cancellation: Tells whether the run was stopped.
        metrics: File for Prometheus that is written when the run ends; None for none.

    Attributes:
        report: What the run did so far; empty before there is a plan.
    """

    def __init__(self, cancellation: CancellationToken, metrics: Path | None = None) -> None:
        self.report = SyncReport()
        self._cancellation = cancellation
        self._metrics = metrics
        self._counted: list[CountsRequests] = []
        self._timer = StageTimer()
        self._other = ExitStack()  # all that is in no other stage, until the run ends
        self._other.enter_context(self._timer.stage("other"))
        self._catalog: Catalog | None = None
        self._row: RunRow | None = None
        self._saved = 0.0

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Count the time that the block takes for a stage, one of `RUN_STAGES`."""
        return self._timer.stage(name)

    def count(self, sender: CountsRequests) -> None:
        """Count the requests of a sender, those included that it has sent before."""
        self._counted.append(sender)

    @contextmanager
    def recorded(self, catalog: Catalog, started: datetime, version: str) -> Iterator[None]:
        """Keep a row of the run in the catalog, from now until the block ends, however it does.

        Args:
            catalog: The catalog; the dataset is locked.
            started: When the run started, as the tables say it.
            version: The version of filtercrawl.
        """
        self._catalog, self._row = catalog, catalog.begin_run(started, version)
        dataset_id = catalog.dataset_id
        try:
            yield
        except BaseException as error:
            with suppress(*CATALOG_ERRORS):  # the catalog may be what the run ended for
                self._save("stopped" if isinstance(error, Cancelled) else "failed")
            self._write_metrics(dataset_id)
            raise
        self.end()
        self._write_metrics(dataset_id)

    def save_if_due(self) -> None:
        """Write the counts into the catalog, now and then."""
        if time.monotonic() - self._saved >= _SAVE_EVERY:
            self._save(None)

    def end(self) -> None:
        """Write that the run has ended; what is to follow, such as writing the tables, is added by a later call."""
        self._save("stopped" if self._cancellation.cancelled else "finished")

    def total(self, report: SyncReport) -> None:
        """Set the totals of a report: requests, retries and seconds."""
        report.requests = sum(sender.requests for sender in self._counted)
        report.retries = sum(sender.retries for sender in self._counted)
        report.seconds = round(sum(self._timer.read().values()), 3)

    def current(self, row: RunRow, outcome: RunOutcome | None) -> RunRow:
        """Return the row of the run with what it has counted up to now.

        Args:
            row: Its number, and when and by which version it was started.
            outcome: How it ended; None while it goes on.
        """
        report = self.report
        self.total(report)
        taken = self._timer.read()
        stages = {name: round(taken.get(name, 0.0), 6) for name in RUN_STAGES}
        counts = {
            **{word: report.checkpoints[word] for word in WORDS},
            "new_failures": len(report.new_failures),
            "left": report.n_left,
            "incomplete_listings": len(report.problems),
            "layers": report.layers,
            "kernels": report.kernels,
            "bytes_fetched": report.bytes_fetched,
            "bytes_offered": report.bytes_offered,
            "requests": report.requests,
            "checkpoint_requests": sum(cost.requests for cost in report.by_source.values()),
            "retries": report.retries,
        }
        seconds = {f"seconds_{name}": value for name, value in stages.items()} | {
            f"work_seconds_{name}": round(report.work_seconds[name], 6) for name in WORK_STAGES
        }
        if "tables" not in taken:
            seconds.pop("seconds_tables")
        return RunRow.from_arrow(
            {
                "run": row.run,
                "started": row.started,
                "outcome": outcome,
                "filtercrawl_version": row.filtercrawl_version,
                **counts,
                "seconds": round(sum(stages.values()), 6),
                **seconds,
                "sources": json.dumps({name: cost.to_dict() for name, cost in sorted(report.by_source.items())}),
            }
        )

    def _write_metrics(self, dataset_id: str) -> None:
        if self._metrics is not None and self._row is not None:
            try:
                write_metrics(self._metrics, metrics_text(self._row, dataset_id))
            except DatasetError as error:  # the dataset is none the worse
                logger.warning("%s", error)

    def _save(self, outcome: RunOutcome | None) -> None:
        if self._catalog is not None and self._row is not None:
            self._row = self.current(self._row, outcome)
            self._catalog.put_run(self._row)
            self._saved = time.monotonic()
