"""Sketches in the dataset: made once, kept with the weights, the same after a rebuild; older datasets stay readable."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import load_dataset

from conftest import Sync
from filtercrawl.dataset.schema.arrow import SKETCHES
from filtercrawl_publish.verification import verify_folder
from support.sketch_reference import sketched
from support.zoo_files import layers, models, published, put, state, table


def sketches(dataset: Path) -> list[dict[str, Any]]:
    return table(dataset, "sketches")


def test_every_stored_layer_has_its_sketch(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(1) | {"extra.weight": torch.ones(2, 2, 8, 8)})
    run_sync()
    rows = sketches(dataset)
    keys = [(row["layer_sha256"], row["kernel"]) for row in rows]
    index = [row for row in table(dataset, "index") if row["file"] is not None]
    assert keys == list(dict.fromkeys((row["layer_sha256"], row["kernel"]) for row in index))
    assert len(keys) == 3  # two layers that both have, and one of 64 taps
    weights = layers(dataset)
    for row in index:
        sketch = rows[keys.index((row["layer_sha256"], row["kernel"]))]
        want = sketched(weights[row["layer_id"]])
        assert set(sketch) == set(SKETCHES.names)
        assert {name: sketch[name] for name in want if name == "histogram" or not isinstance(sketch[name], list)} == {
            name: value for name, value in want.items() if name == "histogram" or not isinstance(value, list)
        }
        np.testing.assert_allclose(sketch["power_sums"], want["power_sums"], rtol=1e-12)
        assert (sketch["n_kernels"], sketch["n_dead"]) == (row["n_kernels"], row["n_dead"])
    assert list(verify_folder(dataset)) == []


def test_datasets_loads_them(zoo: Path, dataset: Path, tmp_path: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    found = load_dataset(str(dataset), "sketches", split="train", cache_dir=str(tmp_path / "cache"))
    assert found.column_names == SKETCHES.names
    assert [row["layer_sha256"] for row in found] == [row["layer_sha256"] for row in sketches(dataset)]


def test_a_second_run_and_a_rebuild_leave_every_byte(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(2))
    run_sync()
    before = published(dataset)
    run_sync()
    assert published(dataset) == before
    shutil.rmtree(dataset / "data/layers")  # as on an empty machine
    run_sync(rebuild=True)
    (dataset / "data/models/part.parquet").unlink()  # so that the tables are written again
    put(zoo / "c.safetensors", state(3))
    run_sync()
    assert len(sketches(dataset)) == 6
    old = {row["layer_sha256"]: row for row in sketches(dataset)}
    put(zoo / "c.safetensors", state(4))
    run_sync()
    assert sum(old.get(row["layer_sha256"]) == row for row in sketches(dataset)) == 4


def test_an_heir_has_the_sketches_of_the_weights_it_keeps(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    shutil.copy(zoo / "a.safetensors", zoo / "b.safetensors")
    run_sync()
    before = sketches(dataset)
    assert models(dataset)["local/b.safetensors"]["outcome"] == "duplicate"
    put(zoo / "a.safetensors", state(2))
    run_sync()
    assert len(sketches(dataset)) == 4
    assert all(row in sketches(dataset) for row in before)
    (zoo / "b.safetensors").unlink()
    run_sync(prune=True)
    assert len(sketches(dataset)) == 2
    assert not any(row in sketches(dataset) for row in before)
    assert list(verify_folder(dataset)) == []


def test_layers_of_the_same_bytes_and_other_sizes_have_one_each(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "zeros.safetensors", {"a.weight": torch.zeros(4, 1, 3, 3), "b.weight": torch.zeros(2, 2, 1, 9)})
    run_sync()
    assert [(row["kernel"], row["n_kernels"]) for row in sketches(dataset)] == [("3x3", 4), ("1x9", 4)]
    assert list(verify_folder(dataset)) == []


def test_a_dataset_from_before_there_were_sketches(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    (dataset / "data/sketches/part.parquet").unlink()
    db = sqlite3.connect(dataset / ".filtercrawl/catalog.sqlite")
    db.executescript(
        "DROP TRIGGER models_inserted; DROP TRIGGER models_updated; DROP TABLE listed; "
        "ALTER TABLE selectors DROP COLUMN completed; DROP INDEX models_by_name; DROP INDEX models_by_url; "
        "DROP INDEX models_by_license; DROP INDEX models_by_run; DROP INDEX models_by_layers_file; "
        "DROP TABLE sketches; DROP TABLE effective; DROP TABLE released; "
        "ALTER TABLE selectors DROP COLUMN ignored; DROP INDEX models_by_place; DROP INDEX layers_by_preview_level; "
        "ALTER TABLE models DROP COLUMN place; ALTER TABLE models DROP COLUMN size; "
        "ALTER TABLE layers DROP COLUMN preview_level; DROP TABLE changed_models; DROP TABLE changed_layers; "
        "DROP TABLE shared_layers; DROP TABLE shared_files; DROP TABLE parts; DROP TABLE part_files; DROP TABLE runs; "
        "PRAGMA user_version = 1;"
        "UPDATE facts SET value = '1' WHERE key = 'stale';"
    )
    db.close()
    report = run_sync()
    assert report.to_dict()["checkpoints"]["unchanged"] == 1
    assert sketches(dataset) == []
    assert list(verify_folder(dataset)) == []
    put(zoo / "b.safetensors", state(2))
    run_sync()
    stored = {row["layer_sha256"] for row in table(dataset, "index") if row["model_id"] == "local/b.safetensors"}
    assert {row["layer_sha256"] for row in sketches(dataset)} == stored - {None}
    shutil.rmtree(dataset / "data/sketches")
    run_sync(rebuild=True)
    assert sketches(dataset) == []
