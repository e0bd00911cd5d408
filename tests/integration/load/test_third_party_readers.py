"""The folder as readers see it: datasets, pyarrow, pandas, polars, DuckDB, torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import yaml

from filtercrawl.dataset.schema.arrow import LAYERS, TABLES
from filtercrawl.dataset.tables.export import export
from support.dataset_rows import DEPTHWISE, MemoryRows, example

Load = Callable[..., Any]
LAYERED = ("layers", "layers-local", "layers-packages", "redistributable")
CONFIGS = ("preview", "index", "models", *LAYERED, "samples", "sketches", "effective", "ledger")
RARE = ("renames", "withdrawn", "sources", "runs", "files")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "dataset"
    export(path, example(path))
    return path


@pytest.fixture
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """`load_dataset` of the training split, all loads of a test with one cache."""
    cache = tmp_path_factory.mktemp("cache")
    datasets.disable_progress_bars()

    def loader(path: Path, config: str | None = None, **options: Any) -> Any:
        return datasets.load_dataset(str(path), config, split="train", cache_dir=str(cache), **options)

    return loader


def header(folder: Path) -> Any:
    return yaml.load((folder / "README.md").read_text().split("---\n")[1], yaml.CSafeLoader)


def data_files(folder: Path, config: str) -> list[Path]:
    (paths,) = [entry["data_files"][0]["path"] for entry in header(folder)["configs"] if entry["config_name"] == config]
    files = [file for path in paths for file in sorted(folder.glob(path))]
    assert files
    return files


def expected(folder: Path, config: str) -> list[dict[str, Any]]:
    return [row for file in data_files(folder, config) for row in pq.read_table(file).to_pylist()]


def plain(rows: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]


def test_card_lists_every_config(folder: Path) -> None:
    names = [entry["config_name"] for entry in header(folder)["configs"]]
    assert sorted(names) == sorted([*CONFIGS, *RARE])
    assert [entry["config_name"] for entry in header(folder)["configs"] if entry.get("default")] == ["preview"]
    assert not any("splits" in info for info in header(folder)["dataset_info"])


@pytest.mark.parametrize("config", [name for name in (*CONFIGS, *RARE) if name != "preview"])
@pytest.mark.parametrize("streaming", [False, True])
def test_load(folder: Path, load: Load, config: str, streaming: bool) -> None:
    rows = load(folder, config, streaming=streaming)
    schema = LAYERS if config in LAYERED else TABLES[config]
    assert rows.features == datasets.Features.from_arrow_schema(schema)
    assert plain(rows) == expected(folder, config)


@pytest.mark.parametrize("streaming", [False, True])
def test_preview_is_the_default_and_has_pictures(folder: Path, load: Load, streaming: bool) -> None:
    rows = load(folder, streaming=streaming)
    assert rows.features["picture"] == datasets.Image()
    shown = plain(rows)
    assert [row["layer_id"] for row in shown] == [row["layer_id"] for row in expected(folder, "preview")]
    assert all(row["picture"].format == "PNG" and max(row["picture"].size) <= 512 for row in shown)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("column", "value"), [("kernel", "3x3"), ("depthwise", True), ("op", "conv1d"), ("taps", 18)])
@pytest.mark.parametrize("config", ["layers", "index", "samples"])
def test_filters_and_columns(
    folder: Path, load: Load, config: str, column: str, value: object, streaming: bool
) -> None:
    columns = ["layer_id", column]
    rows = load(folder, config, streaming=streaming, columns=columns, filters=[(column, "==", value)])
    wanted = [{name: row[name] for name in columns} for row in expected(folder, config) if row[column] == value]
    assert wanted
    assert plain(rows) == wanted


def test_columns_in_another_order(folder: Path, load: Load) -> None:
    (row, *_) = load(folder, "layers", columns=["shape", "kernel", "layer_id"], streaming=True)
    assert row == {name: expected(folder, "layers")[0][name] for name in ("layer_id", "kernel", "shape")}


@pytest.mark.parametrize("streaming", [False, True])
def test_fresh_rows_after_an_export_that_added(tmp_path: Path, load: Load, streaming: bool) -> None:
    rows = example(tmp_path / "dataset")
    export(rows.folder, rows)
    before = {config: len(plain(load(rows.folder, config, streaming=streaming))) for config in CONFIGS}
    rows.add("local/new.pt", [DEPTHWISE])
    export(rows.folder, rows)
    after = {config: len(plain(load(rows.folder, config, streaming=streaming))) for config in CONFIGS}
    grown = {
        "layers-packages": 0,
        "effective": 0,
        "preview": 1,
        "index": 1,
        "models": 1,
        "layers": 1,
        "layers-local": 1,
        "redistributable": 1,
        "samples": 16,
        "sketches": 1,
        "ledger": 2,
    }
    assert {config: after[config] - before[config] for config in CONFIGS} == grown


def test_two_folders_of_one_name(tmp_path: Path, load: Load) -> None:
    for number, model_id in enumerate(("local/first", "local/second")):
        rows = MemoryRows(tmp_path / str(number) / "dataset", f"id-{number}")
        rows.add(model_id)
        export(rows.folder, rows)
        for config in ("index", "layers", "preview"):
            assert {row["model_id"] for row in load(rows.folder, config)} == {model_id}


def test_same_rows_under_another_id_are_another_dataset(tmp_path: Path) -> None:
    cards = []
    for dataset_id in ("one", "two"):
        rows = example(tmp_path / dataset_id, dataset_id)
        export(rows.folder, rows)
        cards.append({entry["description"] for entry in header(rows.folder)["configs"]})
    assert not cards[0] & cards[1]


@pytest.mark.parametrize("config", [*CONFIGS, *RARE])
def test_all_readers_agree(folder: Path, config: str) -> None:
    files = [str(path) for path in data_files(folder, config)]
    wanted = expected(folder, config)
    assert wanted
    assert pyarrow.dataset.dataset(files).to_table().to_pylist() == wanted
    assert pl.read_parquet(files).to_dicts() == wanted
    assert duckdb.read_parquet(files).to_arrow_table().to_pylist() == wanted
    frame = pd.concat([pd.read_parquet(file, dtype_backend="pyarrow") for file in files])
    assert pyarrow.Table.from_pandas(frame, preserve_index=False).to_pylist() == wanted


def test_torch_rows_take_their_shape(folder: Path, load: Load) -> None:
    for streaming in (False, True):
        rows = load(folder, "layers", streaming=streaming, filters=[("depthwise", "==", True)]).with_format("torch")
        row = next(iter(rows))
        weight = row["weight"].reshape(row["shape"].tolist())
        stored = next(r for r in expected(folder, "layers") if r["row_id"] == row["row_id"])
        assert weight.shape == (16, 1, 3, 3)
        np.testing.assert_array_equal(weight.numpy().ravel(), np.array(stored["weight"], np.float32))


def test_samples_are_kernels_of_the_layers(folder: Path) -> None:
    layers = {row["layer_id"]: row for row in expected(folder, "layers")}
    samples = expected(folder, "samples")
    assert {row["layer_id"] for row in samples} == set(layers)
    assert len({row["kernel_id"] for row in samples}) == len(samples)
    for row in samples:
        layer = layers[row["layer_id"]]
        weight = np.array(layer["weight"], np.float32).reshape(*layer["shape"][:2], -1)
        np.testing.assert_array_equal(
            weight[row["out_channel"], row["in_channel"]], np.array(row["values"], np.float32)
        )
        assert row["kernel_id"] == f"{row['layer_id']}:{row['out_channel']}:{row['in_channel']}"


def test_the_examples_of_the_card_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    blocks = (folder / "README.md").read_text().split("```python\n")[1:]
    assert len(blocks) == 5
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for block in blocks:
        code = block.split("```")[0]
        assert len([line for line in code.splitlines() if line]) <= 5
        own: dict[str, Any] = {}  # each runs alone
        exec(code, own)
        names |= own
    assert len(names["weight"]) == np.prod(names["shape"])
    assert dict(names["sizes"].fetchall())["3x3"] == 2 * (16 + 160)
    assert [weight.shape[2:] for weight in names["weights"]] == [(3, 3)] * 2


def test_redistributable_is_what_everybody_may_pass_on(tmp_path: Path, load: Load) -> None:
    rows = MemoryRows(tmp_path / "dataset")
    may = {"local/a": "MIT", "local/b": "CC-BY-NC-4.0 OR Apache-2.0", "packages/c": "GPL-3.0-or-later"}
    may_not = {"local/d": None, "local/e": "CC-BY-NC-4.0", "packages/f": "MIT AND CC-BY-ND-4.0", "local/g": "gemma"}
    for model_id, terms in {**may, **may_not}.items():
        rows.add(model_id, [DEPTHWISE], terms)
    export(rows.folder, rows)
    for streaming in (False, True):
        found = load(rows.folder, "redistributable", streaming=streaming)
        assert found.features == datasets.Features.from_arrow_schema(LAYERS)
        assert sorted(row["model_id"] for row in found) == sorted(may)
    index = load(rows.folder, "index")
    assert {row["model_id"]: row["redistributable"] for row in index} == {
        **dict.fromkeys(may, True), **dict.fromkeys(may_not, False), "local/d": None,
    }  # fmt: skip
    for model_id in may:
        rows.forget(model_id)
    export(rows.folder, rows)
    assert "redistributable" not in [entry["config_name"] for entry in header(rows.folder)["configs"]]
