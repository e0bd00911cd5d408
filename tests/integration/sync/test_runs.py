"""What a run did and cost is in the catalog, and in the table `runs` of what it publishes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import load_dataset

from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.schema.run_row import RunRow
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.run_metrics import metrics_text
from filtercrawl_publish.verification import verify_folder
from support.run_sums import check_sums
from support.zoo_files import published, put, state, table

Sync = Callable[..., SyncReport]


def runs(dataset: Path) -> list[RunRow]:
    with Catalog(dataset) as catalog:
        return list(catalog.runs())


def test_a_run_is_a_row_that_adds_up(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    (zoo / "broken.pt").write_bytes(b"nothing")
    report = run_sync()
    (row,) = runs(dataset)
    check_sums(row)
    assert (row.run, row.outcome, row.new, row.failed, row.new_failures) == (1, "finished", 1, 1, 1)
    assert (row.bytes_fetched, row.layers, row.kernels) == (report.bytes_fetched, report.layers, report.kernels)
    assert row.seconds == pytest.approx(report.seconds, abs=2e-3)
    assert row.seconds_tables is not None
    assert row.work_seconds_write > 0 < row.work_seconds_commit


def test_the_table_has_the_runs_up_to_the_one_that_wrote_it(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    before = published(dataset), table(dataset, "runs")
    assert [(row["run"], row["outcome"], row["seconds_tables"]) for row in before[1]] == [(1, "finished", None)]
    run_sync()
    assert (published(dataset), table(dataset, "runs")) == before, "an idle run changes no published file"
    assert [row.unchanged for row in runs(dataset)] == [0, 1]
    put(zoo / "b.safetensors", state(2))
    run_sync()
    assert [row["run"] for row in table(dataset, "runs")] == [1, 2, 3]
    assert load_dataset(str(dataset), "runs", split="train")["new"] == [1, 0, 1]
    assert list(verify_folder(dataset)) == []


def test_equal_data_has_equal_hashes_however_many_runs_it_took(
    zoo: Path, dataset: Path, run_sync: Sync, tmp_path: Path
) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    put(zoo / "b.safetensors", state(2))
    run_sync()
    other = tmp_path / "other"
    with Catalog(dataset) as catalog, Catalog(other) as copy:
        copy.set_meta("dataset_id", catalog.dataset_id)
    run_sync(dataset=other)
    assert published(other) == published(dataset)
    assert len(table(other, "runs")) < len(table(dataset, "runs"))


def test_runs_come_back_with_a_catalog_that_is_rebuilt(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    before = table(dataset, "runs")
    Catalog.remove(dataset)
    run_sync()
    first, second = runs(dataset)
    assert first == RunRow.from_arrow(before[0])
    assert (second.run, second.unchanged) == (2, 1)


def test_a_run_that_ends_with_an_error_says_so(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    with pytest.raises(Exception, match="nosuch"):
        run_sync("nosuch:x")
    assert len(runs(dataset)) == 1, "nothing was run"
    put(zoo / "b.safetensors", state(1))
    (dataset / "README.md").write_bytes(b"---\n: : no yaml [\n---\n")
    with pytest.raises(Exception, match="README"):
        run_sync()
    *_, row = runs(dataset)
    check_sums(row)
    assert (row.outcome, row.duplicate) == ("failed", 1)


def test_a_killed_run_is_told_by_the_next(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    with Catalog(dataset) as catalog:
        catalog.begin_run(next(catalog.runs()).started, "0")
    run_sync()
    assert [row.outcome for row in runs(dataset)] == ["finished", "killed", "finished"]


def test_a_dry_run_leaves_no_row(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    run_sync(dry_run=True)
    assert len(runs(dataset)) == 1


def test_metrics_are_those_of_the_row(zoo: Path, dataset: Path, run_sync: Sync, tmp_path: Path) -> None:
    put(zoo / "a.safetensors", state(1))
    file = tmp_path / "filtercrawl.prom"
    run_sync(metrics=file)
    (row,) = runs(dataset)
    with Catalog(dataset) as catalog:
        assert file.read_text("utf-8") == metrics_text(row, catalog.dataset_id)
    assert str(tmp_path) not in file.read_text("utf-8")


def test_metrics_that_cannot_be_written_cost_a_warning(
    zoo: Path, dataset: Path, run_sync: Sync, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(zoo / "a.safetensors", state(1))
    assert run_sync(metrics=tmp_path / "none" / "a.prom").checkpoints["new"] == 1
    assert "a.prom: cannot be written" in caplog.text
