"""What a run finds in a dataset: no catalog, rows that no table can hold, files that are missing or left over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from filtercrawl.api.errors import ConflictError, DatasetError
from filtercrawl.api.progress import NullProgress
from filtercrawl.config import Settings
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.recovery import (
    drop_unfit,
    export_if_needed,
    open_catalog,
    open_dataset,
    repair_after_crash,
)
from filtercrawl.dataset.catalog.writable_dataset import WritableDataset
from filtercrawl.dataset.files.layer_store import LocalLayerStore
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.schema.crawl_state import NO_VERSION
from filtercrawl.extraction.ledger import LedgerEntry
from support.stored_checkpoints import Repository, stage, store, stored, writable_dataset

NOT_UNICODE = "\ud800"


class Messages(NullProgress):
    """Keeps the lines that it is told to show."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[WritableDataset]:
    with writable_dataset(tmp_path) as opened:
        yield opened


def lose(data: WritableDataset, name: str) -> None:
    """Delete the layers file of a checkpoint."""
    (data.folder / str(stored(data, name).layers_file)).unlink()


# Opening.


def test_a_dataset_that_is_open_is_locked(tmp_path: Path) -> None:
    settings = Settings(dataset=tmp_path / "dataset")
    with pytest.raises(DatasetError), open_dataset(settings):
        pass
    with open_dataset(settings, create=True) as opened:
        assert opened.folder == settings.dataset
        assert isinstance(opened.layer_store, LocalLayerStore)
        with pytest.raises(ConflictError), open_dataset(settings):
            pass
    repository = Repository(settings.dataset)
    with open_dataset(settings, layer_store=repository) as opened:
        assert opened.layer_store is repository


def test_a_new_dataset_is_named_by_its_path(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "one", "other"):
        with open_catalog(Settings(dataset=tmp_path / name)) as catalog:
            ids.append(catalog.dataset_id)
        Catalog.remove(tmp_path / name)
    assert ids[0] == ids[1] != ids[2]
    assert all(ids)


def test_a_dataset_keeps_its_id(tmp_path: Path) -> None:
    with Catalog(tmp_path) as catalog:
        catalog.set_meta("dataset_id", "as it was")
    with open_catalog(Settings(dataset=tmp_path)) as catalog:
        assert catalog.dataset_id == "as it was"


def test_a_catalog_is_not_thrown_away_where_there_are_no_tables(data: WritableDataset) -> None:
    held = store(data, "net")
    with pytest.raises(DatasetError, match="no published tables"):
        open_catalog(Settings(dataset=data.folder, rebuild=True))
    assert stored(data, "net") == held


def test_a_catalog_is_rebuilt_from_the_published_tables(tmp_path: Path) -> None:
    settings = Settings(dataset=tmp_path)
    with open_catalog(settings) as catalog:
        data = WritableDataset(folder=tmp_path, catalog=catalog, layer_store=LocalLayerStore(tmp_path))
        held, dataset_id = [store(data, "net"), store(data, "new", seed=1)], catalog.dataset_id
        catalog.set_meta("stale", "1")
        export_if_needed(tmp_path, catalog)
        path = str(held[0].layers_file)
        catalog.put_released([(name, sha256) for name, _, sha256 in catalog.layer_files() if name == path], "v1")
        catalog.set_meta("only in the catalog", "x")
    with open_catalog(replace(settings, rebuild=True)) as catalog:
        assert (list(catalog.models()), catalog.dataset_id) == (held, dataset_id)
        assert catalog.get_meta("only in the catalog") is None
        assert (catalog.released(), catalog.release) == ({path}, "v1")  # the tables do not say it
    Catalog.remove(tmp_path)
    with open_catalog(settings) as catalog:
        assert (list(catalog.models()), catalog.dataset_id, catalog.released()) == (held, dataset_id, set())


def test_a_catalog_that_cannot_be_rebuilt_is_closed(tmp_path: Path) -> None:
    (tmp_path / "data/models").mkdir(parents=True)
    (tmp_path / "data/models/part.parquet").write_bytes(b"damaged")
    with pytest.raises(DatasetError, match="cannot be read") as raised:
        open_catalog(Settings(dataset=tmp_path))
    assert raised.tb is not None  # it holds the catalog: nothing but `close` can have closed it
    assert [file.name for file in (tmp_path / HIDDEN).iterdir()] == ["catalog.sqlite"]  # SQLite's log goes with it


# Rows that the tables cannot hold.


@pytest.mark.parametrize("is_stale", [True, False])
def test_rows_are_checked_where_the_last_run_has_not_written_the_tables(tmp_path: Path, is_stale: bool) -> None:
    with writable_dataset(tmp_path) as data:
        store(data, "net", license=NOT_UNICODE)
        data.catalog.set_meta("dataset_id", "x")
        data.catalog.set_meta("stale", "1" if is_stale else "0")
    progress = Messages()
    with open_catalog(Settings(dataset=tmp_path), progress) as catalog:
        assert [row.outcome for row in catalog.models()] == ["failed" if is_stale else "emitted"]
    assert len(progress.lines) == is_stale


def test_a_checkpoint_with_a_row_that_its_table_cannot_hold_is_read_again(data: WritableDataset) -> None:
    good, _, _ = store(data, "good", 0), store(data, "layer", 1), store(data, "tensor", 2)
    store(data, "model", 3, paper=NOT_UNICODE)  # a column that `index` does not have
    (layer,) = data.catalog.layers_of("lab/layer")
    bad_tensor = LedgerEntry(tensor="w", shape=(2**70,), dtype="float32", reason=None)
    data.catalog.put_content("lab/layer", [replace(layer, layer=NOT_UNICODE)], [])
    data.catalog.put_content("lab/tensor", data.catalog.layers_of("lab/tensor"), [bad_tensor])
    progress = Messages()
    drop_unfit(data.catalog, Settings(dataset=data.folder), progress, data.layer_store)
    assert stored(data, "good") == good
    for name, what in (("layer", "the layer "), ("tensor", "the tensor "), ("model", "")):
        row = stored(data, name)
        assert (row.outcome, row.layers_file, row.file_sha256) == ("failed", None, None)
        assert row.reason is not None
        assert row.reason.startswith(f"an older version stored what the tables cannot hold: {what}")
        assert f"lab/{name}: {row.reason}" in progress.lines
        assert data.catalog.layers_of(f"lab/{name}") == []
    assert len(progress.lines) == 3


def test_no_checkpoint_that_fails_takes_over_weights(data: WritableDataset) -> None:
    store(data, "a", license=NOT_UNICODE)
    store(data, "b", license=NOT_UNICODE)
    progress = Messages()
    drop_unfit(data.catalog, Settings(dataset=data.folder), progress, data.layer_store)
    assert [line.partition(":")[0] for line in progress.lines] == ["lab/b", "lab/a"]
    assert len(list(data.catalog.layer_files())) == 1  # nothing was copied


def test_a_catalog_without_faults_stays_as_it_is(data: WritableDataset) -> None:
    held = store(data, "net")
    drop_unfit(data.catalog, Settings(dataset=data.folder), NullProgress(), data.layer_store)
    assert stored(data, "net") == held
    assert not data.catalog.needs_export


# Files that a killed run left, or that are lost.


def test_a_checkpoint_whose_file_is_missing_is_read_again(data: WritableDataset) -> None:
    lost, other = store(data, "lost", 0), store(data, "other", 1)
    lose(data, "lost")
    progress = Messages()
    repair_after_crash(data, progress)
    assert stored(data, "lost") == lost.unread()
    assert stored(data, "lost").attempted_version == NO_VERSION
    assert stored(data, "other") == other
    assert progress.lines == ["lab/lost: its layers file is missing and will be written again"]
    assert len(data.catalog.layers_of("lab/lost")) == 1


@pytest.mark.parametrize("where", ["release", "store"])
def test_a_file_that_is_elsewhere_is_not_lose(data: WritableDataset, where: str) -> None:
    held = store(data, "net")
    repository = Repository(data.folder)
    repository.take(str(held.layers_file))
    if where == "release":
        repository.files.clear()
        data.catalog.put_released([(path, sha256) for path, _, sha256 in data.catalog.layer_files()], "v1")
    progress = Messages()
    repair_after_crash(replace(data, layer_store=repository), progress)
    assert (stored(data, "net"), progress.lines) == (held, [])


def test_a_folder_of_tables_alone_misses_nothing(data: WritableDataset) -> None:
    held = store(data, "net")
    data.catalog.layers_are_elsewhere = True
    shutil.rmtree(data.folder / "data/layers")
    progress = Messages()
    repair_after_crash(data, progress)
    assert (stored(data, "net"), progress.lines) == (held, [])


@pytest.mark.parametrize("keep_folder", [True, False])
def test_weights_that_went_with_a_version_that_was_not_made(data: WritableDataset, keep_folder: bool) -> None:
    """They were uploaded and deleted here, and the repository has lost them."""
    lost, _, other = store(data, "a"), store(data, "b"), store(data, "c", seed=1)
    data.catalog.mark_uploaded("lab/data", [str(lost.layers_file), str(other.layers_file)])
    lose(data, "a")
    store_of_other = Repository(data.folder)
    store_of_other.take(str(other.layers_file))
    if not keep_folder:
        shutil.rmtree(data.folder / "data/layers")
    repair_after_crash(replace(data, layer_store=store_of_other), NullProgress())
    for name in ("a", "b"):
        row = stored(data, name)
        assert (row.outcome, row.layers_file, row.file_sha256) == ("failed", None, None)
        assert row.reason == "its weights went with a version that was not made; it is read again"
        assert data.catalog.layers_of(f"lab/{name}") == []
    assert stored(data, "c") == other
    assert data.catalog.needs_export


@pytest.mark.parametrize("is_stale", [True, False])
def test_what_a_killed_run_left_is_deleted_once_no_table_names_it(data: WritableDataset, is_stale: bool) -> None:
    held = store(data, "net")
    orphan = data.folder / "data/layers/lab/orphan.parquet"
    orphan.write_bytes(b"left")
    staged = stage(data.folder, "lab/killed", seed=1).staged
    data.catalog.set_meta("stale", "1" if is_stale else "0")
    repair_after_crash(data, NullProgress())
    assert orphan.exists() == is_stale
    assert staged is not None
    assert staged.exists() == is_stale
    assert (data.folder / str(held.layers_file)).is_file()


# Tables.


def test_tables_are_written_where_the_catalog_says_more(data: WritableDataset) -> None:
    store(data, "net")
    leaving = store(data, "gone", seed=1)
    data.catalog.set_meta("dataset_id", "x")
    export_if_needed(data.folder, data.catalog)
    assert not (data.folder / "data/models/part.parquet").exists()
    with data.catalog.transaction():
        data.catalog.drop_content("lab/gone")
        data.catalog.update_model(leaving.with_lost_weights("gone"))
    export_if_needed(data.folder, data.catalog)
    assert (data.folder / "data/models/part.parquet").is_file()
    assert not data.catalog.needs_export
    assert not (data.folder / str(leaving.layers_file)).exists()
    assert [path for path, _, _ in data.catalog.layer_files()] == [stored(data, "net").layers_file]
