"""Which rows of runs are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.runs import MAX_RUNS
from filtercrawl.dataset.schema.run_row import RunRow

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def nightly(run: int) -> RunRow:
    return RunRow(run=run, started=FIRST + timedelta(days=run - 1), filtercrawl_version="1", outcome="finished")


def test_of_old_runs_one_a_week_is_kept(tmp_path: Path) -> None:
    n_old = 70
    with Catalog(tmp_path) as catalog:
        for run in range(1, n_old + MAX_RUNS):
            catalog.put_run(nightly(run))
        for run in range(n_old + MAX_RUNS, n_old + MAX_RUNS + 3):
            assert catalog.begin_run(nightly(run).started, "1").run == run
        kept = [row.run for row in catalog.runs()]
    # 1 January 2026 is a Thursday: the first Monday is of the fifth run.
    assert kept == [1, *range(5, n_old + 3, 7), *range(n_old + 3, n_old + 3 + MAX_RUNS)]
