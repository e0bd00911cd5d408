"""A dataset folder is read in one way: whole or in part, of this version or an older one, or damaged."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.schema.arrow import FILES, MODELS, SCHEMA_VERSION, SKETCHES
from filtercrawl.dataset.tables.export import export
from support.dataset_rows import example


def test_all_of_a_dataset_is_read(tmp_path: Path) -> None:
    rows = example(tmp_path)
    root = export(tmp_path, rows).root
    folder = DatasetFolder(tmp_path)
    assert folder.exists()
    assert folder.manifest()["root"] == root
    assert folder.schema_version() == SCHEMA_VERSION
    listed = {file.path for file in folder.files()}
    assert {path for path, _, _ in rows.files} < listed
    assert folder.table("models").schema.equals(MODELS)
    assert folder.table("models", ["outcome", "model_id"]).to_pylist()[0] == {
        "outcome": "emitted", "model_id": "local/a.safetensors",
    }  # fmt: skip
    ledger = list(folder.rows("ledger", size=2))
    assert ledger == [row for source in sorted(rows.ledger_rows) for row in rows.ledger_rows[source]]
    assert sum(map(len, folder.batches("ledger", size=2))) == folder.table("ledger").num_rows == len(ledger)
    assert folder.table("sketches").schema.equals(SKETCHES)


def test_a_folder_without_tables_is_empty(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    assert not folder.exists()
    assert (folder.manifest(), folder.schema_version(), folder.files()) == ({}, None, [])
    assert (folder.table("models").num_rows, list(folder.rows("ledger"))) == (0, [])


def test_a_look_at_a_large_dataset_needs_little_memory(tmp_path: Path) -> None:
    export(tmp_path, example(tmp_path))
    folder = DatasetFolder(tmp_path)
    part = folder.table_paths("files")[-1]
    paths = [f"data/layers/local/00/{number:08}.parquet" for number in range(100_000)]
    more = {"path": paths, "size": [1] * len(paths), "sha256": [f"{number:064x}" for number in range(len(paths))]}
    pq.write_table(pa.concat_tables([pq.read_table(part), pa.Table.from_pydict(more, FILES)]), part)
    tracemalloc.start()
    assert folder.damaged_tables() == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_columns_that_an_older_version_did_not_write_are_null(tmp_path: Path) -> None:
    (tmp_path / "data/models").mkdir(parents=True)
    pq.write_table(
        pa.table({"model_id": ["a"], "attempts": pa.array([1], pa.int64())}), tmp_path / "data/models/part.parquet"
    )
    folder = DatasetFolder(tmp_path)
    assert folder.table("models", ["attempts", "license"]).to_pylist() == [{"attempts": 1, "license": None}]
    assert folder.table("models").schema.equals(MODELS)
    assert next(folder.rows("models"))["model_id"] == "a"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "data/models").mkdir(parents=True)
    (tmp_path / "data/models/part.parquet").write_bytes(b"PAR1")
    (tmp_path / "manifest.json").write_text("{")
    folder = DatasetFolder(tmp_path, "org/name@v1")
    for read in (lambda: folder.table("models"), lambda: list(folder.rows("models"))):
        with pytest.raises(DatasetError, match=r"^org/name@v1: data/models/part.parquet cannot be read"):
            read()
    with pytest.raises(DatasetError, match=r"^org/name@v1: manifest.json cannot be read"):
        folder.manifest()
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(DatasetError, match="is no JSON object"):
        folder.manifest()


@pytest.mark.parametrize(
    "columns",
    [{"path": ["a"], "size": ["many"], "sha256": ["0"]}, {"path": ["a"], "size": [1]}, {"path": ["a"], "size": [None]}],
)
def test_a_file_list_of_another_program_is_named(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    (tmp_path / "data/files").mkdir(parents=True)
    pq.write_table(pa.table(columns), tmp_path / "data/files/part.parquet")
    with pytest.raises(DatasetError, match=r"data/files(/part\.parquet)? cannot be read"):
        DatasetFolder(tmp_path).files()


@pytest.mark.parametrize("stated", [None, True, 0, "1", [1]])
def test_a_version_that_is_no_number_is_none(tmp_path: Path, stated: object) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": stated}))
    assert DatasetFolder(tmp_path).schema_version() is None


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(DatasetError, match="update filtercrawl"):
        DatasetFolder(tmp_path).schema_version()
