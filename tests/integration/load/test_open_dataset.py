"""A dataset as an object: its tables are those of the files, and what a stranger wrote is checked and escaped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.dataset.schema.arrow import TABLES
from filtercrawl.dataset.tables.export import export
from filtercrawl.load import KernelDataset, load_first_layers, load_layers, open_dataset
from support.dataset_rows import example
from support.zoo_files import table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("opened") / "dataset"
    export(path, example(path))
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_tables_are_those_of_the_files(folder: Path) -> None:
    dataset = open_dataset(folder)
    assert dataset.index().schema == TABLES["index"]
    assert dataset.index().to_pylist() == table(folder, "index")
    assert dataset.models(["name", "model_id"]).to_pylist() == [
        {"name": row["name"], "model_id": row["model_id"]} for row in table(folder, "models")
    ]
    for name in TABLES.keys() - {"layers"}:
        assert sorted(map(repr, dataset.table(name).to_pylist())) == sorted(map(repr, table(folder, name))), name


def test_layers_and_kernels_are_those_of_the_functions(folder: Path) -> None:
    dataset = open_dataset(str(folder))
    assert dataset.layers("depthwise", ["layer"]).equals(load_layers(folder, "depthwise", ["layer"]))
    assert dataset.kernels("3x3").n_kernels == KernelDataset(folder, "3x3").n_kernels


def test_what_it_says_of_itself(folder: Path) -> None:
    dataset, manifest = open_dataset(folder), json.loads((folder / "manifest.json").read_text("utf-8"))
    assert (dataset.repo_or_path, dataset.revision) == (str(folder), None)
    assert dataset.info.dataset_id == manifest["dataset_id"]
    assert dataset.info.counts == manifest["counts"]
    assert {"index", "models", "layers"} <= set(dataset.configs)
    assert manifest["root"] in dataset._repr_html_()
    assert repr(dataset) == f"open_dataset({str(folder)!r})"


def test_a_column_that_an_older_dataset_lacks_is_null(copy: Path) -> None:
    path = copy / "data/models/part.parquet"
    older = pq.read_table(path).drop_columns(["paper"])
    pq.write_table(older, path)
    models = open_dataset(copy).models()
    assert models.schema == TABLES["models"]
    assert models["paper"].null_count == len(models) == len(older) > 0


def test_a_table_or_column_that_is_not_there_is_named(folder: Path) -> None:
    dataset = open_dataset(folder)
    with pytest.raises(UsageError, match=r"no table is named 'layers'.*index.*layers\(\) returns weights"):
        dataset.table("layers")
    with pytest.raises(
        UsageError, match=r"index has no column 'weight'; the nearest .*the page Schema of the documentation lists all"
    ):
        dataset.index(["weight"])


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "data/../models.parquet", "data/ledger/part.parquet", "data/models--..\\x.parquet"]
)
def test_the_manifest_cannot_lead_elsewhere(copy: Path, path: str) -> None:
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    manifest["tables"]["models"] = [path]
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(DatasetError, match="is not the path of a file of models"):
        open_dataset(copy).models()


@pytest.mark.parametrize("text", ["[]", "{", "{}", '{"counts": 3}', "[" * 100_000])
def test_a_damaged_manifest_is_told(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text, "utf-8")
    with pytest.raises(DatasetError, match=r"manifest\.json (is not a manifest|is no JSON object|cannot be read)"):
        _ = open_dataset(copy).info


def test_names_in_html_are_escaped(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    manifest["dataset_id"] = "<script>"
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    html = open_dataset(copy)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_where_no_dataset_is(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no dataset here; `filtercrawl sync"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="no dataset here, there is no such folder; `filtercrawl sync"):
        open_dataset("nowhere")


def test_a_folder_has_no_revision(folder: Path) -> None:
    with pytest.raises(UsageError, match="is a folder, which has no revision 'v1'"):
        open_dataset(folder, revision="v1")
    with pytest.raises(UsageError, match="no revision"):
        load_layers(folder, revision="v1")
    with pytest.raises(UsageError, match="no revision"):
        next(load_first_layers(folder, revision="v1"))
    with pytest.raises(UsageError, match="no revision"):
        KernelDataset(folder, "3x3", revision="v1")
    with pytest.raises(UsageError, match="revision is given twice, as @v1 and as revision='v2'"):
        load_layers("org/name@v1", revision="v2")
