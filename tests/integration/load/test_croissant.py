"""croissant.json, read by the reference implementation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from filtercrawl.dataset.card.counts import FileTotals
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.table_files import table_of
from filtercrawl.dataset.schema.arrow import INDEX, LAYERS, MODELS
from filtercrawl.dataset.tables.export import export
from support.dataset_rows import MemoryRows, example

mlcroissant = pytest.importorskip("mlcroissant", reason="the extra `test` installs it")
# Of the deprecated functions of rdflib and pandas that it calls.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    export(folder, example(folder))
    return folder


def opened(folder: Path) -> Any:
    return mlcroissant.Dataset(folder / "croissant.json")


def plain(value: Any) -> Any:
    """A value as pyarrow gives it."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def test_the_rows_of_index_are_read_from_the_folder(folder: Path) -> None:
    found = [
        {name.removeprefix("index/"): plain(value) for name, value in record.items()}
        for record in opened(folder).records("index")
    ]
    assert found == pq.read_table(folder / "data/index/part.parquet").to_pylist()


def test_weights_are_read_from_the_folder(folder: Path) -> None:
    record = next(iter(opened(folder).records("layers")))
    shape, weight = record["layers/shape"], np.array(record["layers/weight"], np.float32)
    assert len(weight) == np.prod(shape)
    assert hashlib.sha256(weight.tobytes()).hexdigest() == record["layers/weight_sha256"].decode()


def test_columns_are_those_of_the_tables(folder: Path) -> None:
    content = json.loads((folder / "croissant.json").read_bytes())
    fields = {records["name"]: [field["name"] for field in records["field"]] for records in content["recordSet"]}
    assert fields == {"index": INDEX.names, "models": MODELS.names, "layers": LAYERS.names}
    patterns = {entry["@id"]: entry["includes"] for entry in content["distribution"]}
    assert patterns["index-files"] == ["data/index/*.parquet"]
    assert all(list(folder.glob(pattern)) for found in patterns.values() for pattern in found)


def test_of_a_published_version_nothing_recommended_is_missing(tmp_path: Path) -> None:
    export(tmp_path, example(tmp_path))
    unpublished = opened(tmp_path).metadata
    assert (unpublished.version, unpublished.date_published, unpublished.url) == (None, None, None)
    digest = FileTotals.of(file for file in DatasetFolder(tmp_path).files() if table_of(file.path) == "index").digest
    about = {"version": "v2026.01.02.3", "repository": "org/name", "index_digest": digest}
    (tmp_path / "changes.json").write_text(json.dumps(about))
    export(tmp_path, example(tmp_path))
    metadata = opened(tmp_path).metadata
    assert not metadata.ctx.issues.errors
    assert not metadata.ctx.issues.warnings
    assert metadata.version == "2026.1.2+3"
    assert f"{metadata.date_published:%Y-%m-%d}" == "2026-01-02"
    assert metadata.url == "https://huggingface.co/datasets/org/name"
    assert "tree/v2026.01.02.3" in metadata.cite_as


def test_a_dataset_without_tables_has_none(tmp_path: Path) -> None:
    export(tmp_path, example(tmp_path))
    assert "croissant.json" in export(tmp_path, MemoryRows(tmp_path)).changed
    assert not (tmp_path / "croissant.json").exists()
