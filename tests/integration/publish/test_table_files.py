"""What a version adds lies in files of its own: the old ones stay byte for byte, and readers see one table."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest
from datasets import load_dataset

from conftest import Sync
from filtercrawl.dataset.files.table_files import Part, files_of
from filtercrawl_publish.publishing.staging import clear_pending, stage_version
from support.zoo_files import published, put, state, table

PARTED = ("files", "index", "ledger", "models", "preview", "samples", "sketches")


def version(dataset: Path, name: str) -> dict[str, bytes]:
    """Stage a version and take it for published; return the bytes of its tables in parts."""
    stage_version(dataset, name)
    clear_pending(dataset)
    found = [path for table in PARTED for path in files_of(dataset, table)]
    parts = {path.relative_to(dataset / "data").as_posix(): path.read_bytes() for path in found}
    parts.pop("files/other.parquet")
    return parts


@pytest.fixture
def versions(run_sync: Sync, dataset: Path, zoo: Path) -> dict[str, dict[str, bytes]]:
    """Three versions, of which each adds a network; the last one is called as a tenth of its day."""
    made = {}
    for seed, name in enumerate(("v2026.11.23.2", "v2026.11.23.9", "v2026.11.23.10")):
        put(zoo / f"{9 - seed}.safetensors", state(seed))
        run_sync()
        made[name] = version(dataset, name)
    return made


def parts(name: str = "") -> set[str]:
    """The parts of all tables that one generation has."""
    return {f"{table}/{Part(generation=name).name}.parquet" for table in PARTED}


def test_a_version_adds_files_and_touches_none(versions: dict[str, dict[str, bytes]]) -> None:
    first, second, third = versions.values()
    assert first.keys() == parts()
    assert second.keys() - first.keys() == parts("v2026.11.23.9")
    assert third.keys() - second.keys() == parts("v2026.11.23.10")
    assert second.items() >= first.items()
    assert third.items() >= second.items()


def test_before_a_version_is_made_too(run_sync: Sync, dataset: Path, zoo: Path) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    assert [path.name for path in files_of(dataset, "samples")] == ["part.parquet"]
    first = version(dataset, "v1")
    put(zoo / "b.safetensors", state(2))
    run_sync()
    assert [path.name for path in files_of(dataset, "samples")] == ["part--unreleased.parquet", "part.parquet"]
    assert version(dataset, "v2").keys() - first.keys() == parts("v2")


@pytest.mark.usefixtures("versions")
def test_readers_see_one_table(dataset: Path, tmp_path: Path) -> None:
    for name in ("index", "samples", "preview", "models", "ledger"):
        loaded = load_dataset(str(dataset), name, split="train", cache_dir=str(tmp_path / "cache"))
        assert sorted(set(loaded["model_id"])) == [f"local/{name}.safetensors" for name in (7, 8, 9)], name
        assert loaded["model_id"] == [row["model_id"] for row in table(dataset, name)]
    loaded = load_dataset(str(dataset), "sketches", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["layer_sha256"] == [row["layer_sha256"] for row in table(dataset, "index") if row["file"]]


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize("name", PARTED)
def test_a_pattern_finds_all_parts(dataset: Path, name: str) -> None:
    """As docs/dataset.md says."""
    rows = table(dataset, name)
    assert duckdb.sql(f"SELECT count(*) FROM read_parquet('{dataset}/data/{name}/*.parquet')").fetchall() == [
        (len(rows),)
    ]
    assert len(pd.read_parquet(dataset / "data" / name)) == len(rows)
    assert ds.dataset(dataset / "data" / name).count_rows() == len(rows)
    assert len(pl.read_parquet(dataset / "data" / name / "*.parquet")) == len(rows)


@pytest.mark.usefixtures("versions")
def test_a_catalog_is_rebuilt_from_all_parts(dataset: Path, run_sync: Sync) -> None:
    before = published(dataset)
    shutil.rmtree(dataset / ".filtercrawl")
    assert run_sync().bytes_fetched == 0
    assert published(dataset) == before


def test_what_goes_changes_its_own_part(
    versions: dict[str, dict[str, bytes]], dataset: Path, zoo: Path, run_sync: Sync
) -> None:
    before = versions["v2026.11.23.10"]
    (zoo / "8.safetensors").unlink()
    run_sync(prune=True)
    after = version(dataset, "v2026.11.24")
    stays = {f"{table}/part--v2026.11.23.9.parquet" for table in ("models", "files")}
    assert before.keys() - after.keys() == parts("v2026.11.23.9") - stays
    kept = {name: data for name, data in before.items() if "--v2026.11.23.9" not in name}
    assert kept.items() <= after.items()
