"""What a run counts adds up, at every moment at which it is saved."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import Checkpoint, RemoteFile
from filtercrawl.api.errors import Cancelled
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.schema.run_row import WORK_STAGES
from filtercrawl.pipeline.records import CrawlResult, CrawlTask
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.run_recorder import RunRecorder
from support.run_sums import check_sums

NOW = datetime(2026, 1, 2, tzinfo=UTC)
Action = Literal["new", "changed", "retry"]


@dataclass
class Sender:
    """Counts requests as a transport does."""

    requests: int = 0
    retries: int = 0


@st.composite
def crawled(draw: st.DrawFn) -> tuple[CrawlResult, str]:
    """The result of one checkpoint, and what became of it."""
    source, number = draw(st.sampled_from(["timm", "hub", "local"])), draw(st.integers(0, 999))
    size, action = draw(st.integers(0, 10**12)), draw(st.sampled_from(["new", "changed", "retry"]))
    file = RemoteFile(url=f"https://h/{number}", path=f"{number}.pt", size=size)
    chosen: Action = action
    task = CrawlTask(
        checkpoint=Checkpoint(name=str(number), files=(file,)),
        source=source,
        model_id=f"{source}/{number}",
        selector_id="s",
        action=chosen,
    )
    outcome = draw(st.sampled_from(["emitted", "shared", "no_kernels", "duplicate", "renamed", "unchanged", "failed"]))
    seconds = {name: draw(st.floats(0, 100)) for name in WORK_STAGES[:-1]}
    requests = draw(st.integers(0, 20))
    result = CrawlResult(
        task=task,
        error="broken" if outcome == "failed" else None,
        bytes_fetched=draw(st.integers(0, size)),
        requests=requests,
        seconds=seconds,
    )
    return result, outcome


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    results=st.lists(crawled(), max_size=12),
    ending=st.sampled_from(["finished", "stopped", "cancelled", "failed", "killed"]),
    others=st.integers(0, 5),
)
def test_parts_add_up_however_a_run_ends(
    tmp_path_factory: pytest.TempPathFactory, results: Sequence[tuple[CrawlResult, str]], ending: str, others: int
) -> None:
    cancellation, own, workers = CancellationToken(), Sender(requests=others), Sender()
    folder: Path = tmp_path_factory.mktemp("run")
    run, report = RunRecorder(cancellation), SyncReport(n_left=len(results))
    run.count(own)
    run.count(workers)
    run.report = report

    def work() -> None:
        with run.stage("crawl"):
            for result, outcome in results:
                workers.requests += result.requests
                report.count(result, outcome)
                run.save_if_due()
        if ending in ("stopped", "cancelled"):
            cancellation.cancel()
        if ending == "cancelled":
            raise Cancelled
        if ending == "failed":
            raise OSError("disk")

    with Catalog(folder) as catalog:
        if ending == "killed":
            row = catalog.begin_run(NOW, "1")
            work()
            catalog.put_run(run.current(row, None))
            catalog.begin_run(NOW, "1")
        else:
            try:
                with run.recorded(catalog, NOW, "1"):
                    work()
            except (Cancelled, OSError):
                assert ending in ("cancelled", "failed")
        row = next(catalog.runs())
    check_sums(row)
    assert row.outcome == ("stopped" if ending == "cancelled" else ending)
    assert row.requests == others + sum(result.requests for result, _ in results)
    assert row.left == 0
    assert row.new_failures == sum(outcome == "failed" for _, outcome in results)
    expected = sum(sum(result.seconds.values()) for result, _ in results)
    assert sum(getattr(row, f"work_seconds_{name}") for name in WORK_STAGES) == pytest.approx(expected, abs=1e-4)


def test_a_damaged_catalog_leaves_no_figures_of_an_earlier_run(tmp_path: Path) -> None:
    metrics = tmp_path / "runs.prom"
    metrics.write_text("filtercrawl_run_outcome 1\n")
    run = RunRecorder(CancellationToken(), metrics)

    def work(catalog: Catalog) -> None:
        with run.recorded(catalog, NOW, "1"):
            with closing(sqlite3.connect(catalog.path)) as damaging:
                damaging.execute("DROP TABLE runs")
            raise OSError("disk")

    with Catalog(tmp_path) as catalog, pytest.raises(OSError, match="disk"):
        work(catalog)
    assert 'outcome="failed"} 1\n' in metrics.read_text()
