"""Tables in parts: what is written after each change is what would be written of everything at once."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
from filtercrawl.dataset.catalog.rebuild import rebuild_catalog
from filtercrawl.dataset.catalog.writable_dataset import WritableDataset
from filtercrawl.dataset.files.stored_layers import delete_orphans
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.dataset.tables import preview, table_writer
from filtercrawl.dataset.tables.export import export
from filtercrawl.dataset.tables.preview import render_layer
from filtercrawl.dataset.tables.restored_parts import note_restored_parts
from filtercrawl.dataset.tables.staged_layers import discard
from filtercrawl_publish.verification import verify_folder
from support.dataset_rows import tree
from support.stored_checkpoints import stage, store, writable_dataset

PART_ROWS = 8
FORGET = """
    DELETE FROM parts; DELETE FROM part_files; DELETE FROM shared_layers; DELETE FROM shared_files;
    DELETE FROM facts WHERE key IN ('layout', 'export');
    INSERT OR IGNORE INTO changed_models SELECT model_id, NULL FROM models;
    INSERT OR IGNORE INTO changed_layers SELECT DISTINCT layer_sha256 FROM layers WHERE layer_sha256 IS NOT NULL;
"""
Change = Callable[[WritableDataset, random.Random], None]


def written(dataset: WritableDataset) -> dict[str, bytes]:
    dataset.catalog.part_rows = PART_ROWS
    dataset.catalog.delete_unused()
    export(dataset.folder, dataset.catalog)
    return {path: data for path, data in tree(dataset.folder).items() if not path.startswith("data/layers/")}


def written_at_once(dataset: WritableDataset, folder: Path) -> dict[str, bytes]:
    """What an export writes into an empty folder that knows of no earlier one."""
    (folder / ".filtercrawl").mkdir(parents=True)
    with closing(sqlite3.connect(dataset.catalog.path)) as db:
        db.execute(f"VACUUM INTO '{folder}/.filtercrawl/catalog.sqlite'")
    shutil.copytree(dataset.folder / "data/layers", folder / "data/layers")
    with writable_dataset(folder) as copy:
        with closing(sqlite3.connect(copy.catalog.path)) as db:
            db.executescript(FORGET)
        return written(copy)


def some(dataset: WritableDataset, chance: random.Random) -> str:
    return chance.choice([row.model_id for row in dataset.catalog.models()])


def put(dataset: WritableDataset, name: str, seed: int) -> None:
    """Store a checkpoint with its samples."""
    staged = stage(dataset.folder, f"lab/{name}", seed)
    dataset.catalog.put_samples(staged.samples)
    discard(staged)
    store(dataset, name, seed=seed)


def add(dataset: WritableDataset, chance: random.Random) -> None:
    put(dataset, f"net{chance.randrange(40)}", chance.randrange(12))


def release(dataset: WritableDataset, chance: random.Random) -> None:
    version = f"v{chance.randrange(3)}"
    with dataset.catalog.transaction():
        for row in list(dataset.catalog.models()):
            if row.first_release is None and chance.random() < 0.5:
                dataset.catalog.update_model(replace(row, first_release=version))


def state_license(dataset: WritableDataset, chance: random.Random) -> None:
    known = dataset.catalog.model(some(dataset, chance))
    assert known is not None
    with dataset.catalog.transaction():
        dataset.catalog.update_model(replace(known, license=chance.choice(["MIT", None])))


def prune(dataset: WritableDataset, chance: random.Random) -> None:
    WeightOwnership(dataset=dataset).prune(some(dataset, chance))


def lose_a_file(dataset: WritableDataset, chance: random.Random) -> None:
    chance.choice([*files_of(dataset.folder, "index"), *files_of(dataset.folder, "files")]).unlink()


@pytest.mark.parametrize("seed", range(6))
def test_what_is_written_does_not_depend_on_the_way(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with writable_dataset(tmp_path / "grown") as dataset:
        dataset.catalog.set_meta("dataset_id", "one")
        for step in range(14):
            change: Change = chance.choice([add, add, add, release, state_license, prune, lose_a_file])
            (add if step < 2 else change)(dataset, chance)
            if chance.random() < 0.8:
                grown = written(dataset)
        grown = written(dataset)
        assert written_at_once(dataset, tmp_path / "whole") == grown
        delete_orphans(dataset.folder, dataset.catalog)
    assert list(verify_folder(tmp_path / "grown")) == []


@pytest.mark.parametrize("seed", range(6))
def test_a_catalog_made_from_the_tables_goes_on_as_the_one_that_wrote_them(tmp_path: Path, seed: int) -> None:
    chance, changes = random.Random(seed), [add, add, release, state_license, prune]
    with writable_dataset(tmp_path / "kept") as kept:
        kept.catalog.set_meta("dataset_id", "one")
        for step in range(10):
            (add if step < 2 else chance.choice(changes))(kept, chance)
        for row in list(kept.catalog.models()):  # seen again: no reason to write the tables
            kept.catalog.update_model(replace(row, last_seen=datetime(2026, 1, 1, tzinfo=UTC)))
        before = written(kept)
        for row in list(kept.catalog.models()):
            kept.catalog.update_model(replace(row, last_seen=datetime(2026, 1, 2, tzinfo=UTC)))
        with restored(tmp_path / "kept", tmp_path / "restored") as dataset:
            for row in list(dataset.catalog.models()):
                dataset.catalog.update_model(replace(row, last_seen=datetime(2026, 1, 2, tzinfo=UTC)))
            assert written(dataset) == before
            for step in range(4):
                change: Change = chance.choice(changes)
                for each in (kept, dataset):
                    change(each, random.Random(seed * 10 + step))
                assert written(dataset) == written(kept)


@contextmanager
def restored(folder: Path, copy: Path) -> Iterator[WritableDataset]:
    """A copy of a dataset, with a catalog that was made from its tables."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".filtercrawl"))
    with writable_dataset(copy) as dataset:
        dataset.catalog.part_rows = PART_ROWS
        rebuild_catalog(copy, dataset.catalog)
        assert note_restored_parts(copy, dataset.catalog)
        yield dataset


@pytest.mark.parametrize("what", ["rows", "columns", "another part"])
def test_parts_that_are_not_what_would_be_written_are_written_again(tmp_path: Path, what: str) -> None:
    with writable_dataset(tmp_path / "kept") as kept:
        for number in range(8):
            store(kept, f"net{number}", seed=number)
        before = written(kept)
    first, *_ = files_of(tmp_path / "kept", "ledger" if what == "columns" else "models")
    if what == "rows":
        pq.write_table(pq.read_table(first)[:0], first)
    elif what == "columns":
        pq.write_table(pq.read_table(first).drop_columns("reason"), first)
    else:
        first.rename(first.with_name("part-0000000.parquet"))
    shutil.rmtree(tmp_path / "kept/.filtercrawl")
    with writable_dataset(tmp_path / "kept") as dataset:
        dataset.catalog.part_rows = PART_ROWS
        rebuild_catalog(tmp_path / "kept", dataset.catalog)
        assert not note_restored_parts(tmp_path / "kept", dataset.catalog)
        again = written(dataset)
    if what == "another part":
        assert again == before


def test_one_more_checkpoint_writes_the_files_of_one_part(tmp_path: Path) -> None:
    with writable_dataset(tmp_path) as dataset:
        for number in range(30):
            store(dataset, f"net{number}", seed=number)
        before = written(dataset)
        assert len(files_of(tmp_path, "index")) > 4
        store(dataset, "net30", seed=30)
        after = written(dataset)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    parts = {path.split("/")[2] for path in changed if path.count("/") == 2 and "preview" not in path}
    assert len(parts - {"other.parquet"}) in (1, 3)  # a part, or also the two that it became


def test_an_export_without_a_change_writes_nothing(tmp_path: Path) -> None:
    with writable_dataset(tmp_path) as dataset:
        for number in range(10):
            store(dataset, f"net{number}", seed=number % 4)
        written(dataset)
        assert export(tmp_path, dataset.catalog).changed == ()
        assert dataset.catalog.changed_models() == []


def test_a_layer_that_another_checkpoint_has_too_changes_its_row_only_where_it_must(tmp_path: Path) -> None:
    """The first of equal layers is what the others are duplicates of."""
    with writable_dataset(tmp_path) as dataset:
        for name in ("b", "c", "d"):
            store(dataset, name, seed=1)
        written(dataset)
        store(dataset, "e", seed=1)  # behind the others
        dataset.catalog.spread_changes()
        assert dataset.catalog.changed_models() == ["lab/e"]
        written(dataset)
        store(dataset, "a", seed=1)  # before all others
        dataset.catalog.spread_changes()
        assert dataset.catalog.changed_models() == [f"lab/{name}" for name in "abcde"]


def test_a_date_alone_is_written_with_the_next_change(tmp_path: Path) -> None:
    with writable_dataset(tmp_path) as dataset:
        row = store(dataset, "a")
        written(dataset)
        dataset.catalog.update_model(replace(row, revision="r2"))
        assert dataset.catalog.changed_models() == []


@pytest.mark.parametrize("table", ["models", "index", "samples", "preview", "ledger"])
def test_a_file_of_another_size_is_written_again(tmp_path: Path, table: str) -> None:
    with writable_dataset(tmp_path) as dataset:
        store(dataset, "a")
        before = written(dataset)
        for path in files_of(tmp_path, table):
            path.write_bytes(b"damaged")
        assert written(dataset) == before


def test_a_dataset_of_the_older_layout_is_brought_to_this_one(tmp_path: Path) -> None:
    with writable_dataset(tmp_path) as dataset:
        store(dataset, "a")
        before = written(dataset)
        for name, old in (("index", "index"), ("ledger", "ledger/lab"), ("models", "models--v1")):
            (path,) = files_of(tmp_path, name)
            path.rename(tmp_path / f"data/{old}.parquet")
        assert written(dataset) == before


def test_the_catalog_reads_no_rows_to_find_out_that_nothing_changed(tmp_path: Path) -> None:
    with writable_dataset(tmp_path) as dataset:
        store(dataset, "a")
        written(dataset)
        seen: list[str] = []
        with Catalog(tmp_path) as catalog:
            catalog.part_rows = PART_ROWS
            catalog._db.set_trace_callback(seen.append)
            export(tmp_path, catalog)
    assert not [sql for sql in seen if "record" in sql and "changed_" not in sql and "FROM runs" not in sql]


def test_pictures_that_are_known_are_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(preview, "render_layer", lambda *layer: drawn.append(layer) or render_layer(*layer))
    with writable_dataset(tmp_path) as dataset:
        put(dataset, "a", 1)
        written(dataset)
        first = len(drawn)
        put(dataset, "b", 2)
        both = written(dataset)
        assert (first, len(drawn)) == (1, 2)
        monkeypatch.setattr(table_writer, "STYLE", "another")
        assert written(dataset) == both
        assert len(drawn) == 4
