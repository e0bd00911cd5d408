"""What a version adds lies in files of its own: the old ones stay byte for byte, and readers see one table."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import duckdb
import pytest
from datasets import load_dataset

from conftest import Sync
from filtercrawl.dataset.files.table_files import TablePartitions, files_of
from filtercrawl.dataset.tables.export import export
from filtercrawl_publish.publishing.staging import clear_pending, stage_version
from support.dataset_rows import MemoryRows
from support.zoo_files import published, put, rows_of, state, table

PARTED = ("samples", "sketches/local", "preview")


def version(dataset: Path, name: str) -> dict[str, bytes]:
    """Stage a version and take it for published; return the bytes of its tables in parts."""
    stage_version(dataset, name)
    clear_pending(dataset)
    found = [path for table in ("samples", "sketches", "preview") for path in files_of(dataset, table)]
    return {path.relative_to(dataset / "data").as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def versions(run_sync: Sync, dataset: Path, zoo: Path) -> dict[str, dict[str, bytes]]:
    """Three versions, of which each adds a network; the last one is called as a tenth of its day."""
    made = {}
    for seed, name in enumerate(("v2026.11.23.2", "v2026.11.23.9", "v2026.11.23.10")):
        put(zoo / f"{9 - seed}.safetensors", state(seed))
        run_sync()
        made[name] = version(dataset, name)
    return made


def test_a_version_adds_files_and_touches_none(versions: dict[str, dict[str, bytes]]) -> None:
    first, second, third = versions.values()
    assert first.keys() == {f"{name}.parquet" for name in PARTED}
    assert second.keys() - first.keys() == {f"{name}--v2026.11.23.9.parquet" for name in PARTED}
    assert third.keys() - second.keys() == {f"{name}--v2026.11.23.10.parquet" for name in PARTED}
    assert second.items() >= first.items()
    assert third.items() >= second.items()


def test_before_a_version_is_made_too(run_sync: Sync, dataset: Path, zoo: Path) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    assert [path.name for path in files_of(dataset, "samples")] == ["samples.parquet"]
    first = version(dataset, "v1")
    put(zoo / "b.safetensors", state(2))
    run_sync()
    assert [path.name for path in files_of(dataset, "samples")] == ["samples.parquet", "samples--unreleased.parquet"]
    assert version(dataset, "v2").keys() - first.keys() == {f"{name}--v2.parquet" for name in PARTED}


@pytest.mark.usefixtures("versions")
def test_readers_see_one_table_in_the_order_of_versions(dataset: Path, tmp_path: Path) -> None:
    expected = [f"local/{name}.safetensors" for name in (9, 8, 7)]
    for name in ("index", "samples", "preview"):
        loaded = load_dataset(str(dataset), name, split="train", cache_dir=str(tmp_path / "cache"))
        assert list(dict.fromkeys(loaded["model_id"])) == expected, name
        assert loaded["layer_id"] == [row["layer_id"] for row in rows_of(dataset, name)]
    loaded = load_dataset(str(dataset), "sketches", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["layer_sha256"] == [row["layer_sha256"] for row in table(dataset, "index") if row["file"]]


@pytest.mark.usefixtures("versions")
def test_a_pattern_finds_all_parts(dataset: Path) -> None:
    """As docs/dataset.md says."""
    for pattern, name in (("samples*", "samples"), ("sketches/*", "sketches"), ("preview*", "preview")):
        found = duckdb.sql(f"SELECT count(*) FROM '{dataset}/data/{pattern}.parquet'").fetchall()
        assert found == [(len(rows_of(dataset, name)),)]


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
    assert before.keys() - after.keys() == {f"{name}--v2026.11.23.9.parquet" for name in PARTED}
    assert before.items() >= after.items()


@pytest.mark.parametrize("number", [1, 2, 32, 33, 34, 64, 65, 66, 700])
def test_files_stay_few_and_old_ones_the_same(number: int) -> None:
    names = [f"v{i}" for i in range(number)]
    random.Random(number).shuffle(names)
    parts = TablePartitions({f"m/{name}": name for name in names})
    ordered = [(f"m/v{i}", i) for i in range(number)]
    split = [(path, list(rows)) for path, rows in parts.split(ordered, "data/samples")]
    assert [i for _, rows in split for i in rows] == list(range(number))
    assert split[0][0] == "data/samples.parquet"
    assert [path for path, _ in split[1:]] == [f"data/samples--v{rows[0]}.parquet" for _, rows in split[1:]]
    assert len(split) <= 32
    longer = TablePartitions({f"m/v{i}": f"v{i}" for i in range(number + 1)})
    again = [(path, list(rows)) for path, rows in longer.split([*ordered, (f"m/v{number}", number)], "data/samples")]
    if len(again) > 1:
        assert again[:-1] == split
    assert (len(again) == 1) is (number % 32 == 0)


def test_a_source_that_is_named_like_a_part(tmp_path: Path) -> None:
    rows = MemoryRows(tmp_path)
    rows.add("zoo/a")
    rows.add("zoo--v2/b")
    export(tmp_path, rows)
    names = sorted(path.name for path in files_of(tmp_path, "sketches"))
    assert names == ["zoo-v2-540e24f2.parquet", "zoo.parquet"]
