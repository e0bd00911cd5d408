"""Datasets of older and newer versions: widened in place, or refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from conftest import Sync
from filtercrawl.api.errors import DatasetError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl.config import Settings
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.migrate import migrate_dataset
from filtercrawl.dataset.schema.arrow import INDEX, MODELS, TABLES
from filtercrawl_publish.comparison.snapshot import DatasetSnapshot
from filtercrawl_publish.verification import verify_folder
from support.zoo_files import models, published, put, state, table

YOUNG = {
    "models": ["license_policy", "paper", "seed"],
    "index": ["redistributable", "recipe"],
    "sketches": ["histogram"],
}


@pytest.fixture
def made(zoo: Path, dataset: Path, run_sync: Sync) -> dict[str, str]:
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(2))
    shutil.copy(zoo / "a.safetensors", zoo / "c.safetensors")
    run_sync()
    return published(dataset)


def age(dataset: Path) -> None:
    """Take out columns as if they had not been thought of; the catalog, too, is of that time."""
    for name, columns in YOUNG.items():
        for path in (dataset / f"data/{name}.parquet", *(dataset / "data" / name).glob("*.parquet")):
            if path.is_file():
                pq.write_table(pq.read_table(path).drop_columns(columns), path)


def without_catalog(dataset: Path) -> None:
    shutil.rmtree(dataset / HIDDEN)


@pytest.mark.parametrize("lose", [without_catalog, lambda dataset: None], ids=["tables alone", "with its catalog"])
@pytest.mark.usefixtures("made")
def test_columns_that_were_added_since(
    dataset: Path, zoo: Path, run_sync: Sync, lose: Callable[[Path], None], tmp_path: Path
) -> None:
    layers = {path: path.stat() for path in (dataset / "data/layers").rglob("*.parquet")}
    age(dataset)
    lose(dataset)
    assert list(verify_folder(dataset))
    found = migrate_dataset(Settings(dataset=dataset))
    assert {path: set(columns) for path, columns in found.added.items()} == {
        "data/models/part.parquet": {*YOUNG["models"]}, "data/index/part.parquet": {*YOUNG["index"]},
        "data/sketches/part.parquet": {*YOUNG["sketches"]},
    }  # fmt: skip
    assert [str(finding) for finding in verify_folder(dataset)] == []
    assert pq.read_schema(dataset / "data/models/part.parquet").equals(MODELS)
    assert pq.read_schema(dataset / "data/index/part.parquet").equals(INDEX)
    assert {path: path.stat() for path in layers} == layers
    assert {row["outcome"] for row in models(dataset).values()} == {"emitted", "duplicate"}
    for config in ("index", "models", "layers"):
        datasets.load_dataset(str(dataset), config, split="train", cache_dir=str(tmp_path / "cache"))
    after = published(dataset)
    assert migrate_dataset(Settings(dataset=dataset)).changed == ()
    assert published(dataset) == after
    assert run_sync().checkpoints["unchanged"] == 3
    put(zoo / "d.safetensors", state(4))
    assert run_sync().checkpoints["new"] == 1
    assert list(verify_folder(dataset)) == []


def test_what_is_of_this_version_stays(dataset: Path, made: dict[str, str]) -> None:
    assert migrate_dataset(Settings(dataset=dataset)).added == {}
    assert published(dataset) == made


def test_with_a_catalog_nothing_is_lost(dataset: Path, made: dict[str, str]) -> None:
    age(dataset)
    migrate_dataset(Settings(dataset=dataset))
    assert published(dataset) == made


def test_a_newer_version_is_refused(dataset: Path, made: dict[str, str], run_sync: Sync, plugins: Plugins) -> None:
    stated = json.loads((dataset / "manifest.json").read_bytes())
    (dataset / "manifest.json").write_text(json.dumps(stated | {"schema_version": 2}))
    before = published(dataset)

    def refused(call: Callable[[], Any]) -> None:
        with pytest.raises(DatasetError, match="has schema version 2, this filtercrawl reads 1: update filtercrawl"):
            call()

    refused(run_sync)
    refused(lambda: run_sync(rebuild=True))
    refused(lambda: migrate_dataset(Settings(dataset=dataset)))
    refused(lambda: DatasetSnapshot.open(dataset, "a"))
    done = CliRunner().invoke(build(plugins), ["migrate", "--dataset", str(dataset)])
    assert isinstance(done.exception, DatasetError)
    assert published(dataset) == before


@pytest.mark.parametrize("version", [None, True, "1", 0, -3, 1.5])
@pytest.mark.usefixtures("made")
def test_a_manifest_that_states_no_version(dataset: Path, version: object) -> None:
    stated = json.loads((dataset / "manifest.json").read_bytes())
    (dataset / "manifest.json").write_text(json.dumps(stated | {"schema_version": version}))
    with pytest.raises(DatasetError, match=r"no manifest\.json states the schema version"):
        migrate_dataset(Settings(dataset=dataset))


@pytest.mark.usefixtures("made")
def test_a_required_column_cannot_be_made_up(dataset: Path) -> None:
    path = dataset / "data/models/part.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["source"]), path)
    with pytest.raises(DatasetError, match="lacks source"):
        migrate_dataset(Settings(dataset=dataset))


def test_no_dataset_here(dataset: Path) -> None:
    with pytest.raises(DatasetError, match="no dataset here"):
        migrate_dataset(Settings(dataset=dataset))


@pytest.mark.usefixtures("made")
def test_the_command(dataset: Path, plugins: Plugins) -> None:
    age(dataset)
    run = CliRunner()
    told = json.loads(run.invoke(build(plugins), ["migrate", "--dataset", str(dataset), "--json"]).stdout)
    assert (told["before"], set(told["added"]["data/index/part.parquet"])) == (1, set(YOUNG["index"]))
    again = run.invoke(build(plugins), ["migrate", "--dataset", str(dataset)])
    assert "has the current schema already" in again.stdout
    assert all(name in TABLES for name in YOUNG)
    assert len(table(dataset, "models")) == 3
