"""The synced folder, read by everybody: `datasets` streaming and not, and never a stale row."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as pds
import pytest
import torch
import yaml
from datasets import load_dataset

from conftest import Sync
from filtercrawl_publish.verification import verify_folder
from support.zoo_files import put, state


def configs(dataset: Path) -> list[str]:
    header = (dataset / "README.md").read_text("utf-8").split("---\n")[1]
    return [config["config_name"] for config in yaml.safe_load(header)["configs"]]


@pytest.fixture
def synced(zoo: Path, dataset: Path, run_sync: Sync) -> Path:
    put(zoo / "net.safetensors", state(1))
    torch.save(
        torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3, groups=4), torch.nn.ConvTranspose2d(8, 6, 5, groups=2)),
        zoo / "net.pt",
    )
    put(zoo / "twin.safetensors", state(1))
    run_sync()
    return dataset


def test_every_config_loads_both_ways(synced: Path, tmp_path: Path) -> None:
    names = configs(synced)
    always = {"preview", "index", "layers", "layers-local", "models", "ledger", "samples", "sources", "runs", "files"}
    assert set(names) == always | {"sketches"}
    for name in names:
        rows = load_dataset(str(synced), name, split="train", cache_dir=str(tmp_path / "cache"))
        streamed = list(load_dataset(str(synced), name, split="train", streaming=True))
        assert len(rows) == len(streamed) > 0, name
        assert rows.column_names == list(streamed[0]), name
    assert load_dataset(str(synced), split="train", cache_dir=str(tmp_path / "cache")).column_names[1] == "picture"


@pytest.mark.parametrize("streaming", [True, False])
def test_columns_and_filters(synced: Path, tmp_path: Path, streaming: bool) -> None:
    rows = load_dataset(
        str(synced),
        "layers",
        split="train",
        columns=["layer_id", "shape", "weight"],
        filters=[("kernel", "==", "5x5"), ("op", "==", "conv_transpose2d")],
        streaming=streaming,
        cache_dir=str(tmp_path / "cache"),
    ).with_format("torch")
    (row,) = list(rows)
    assert row["layer_id"] == "local/net.pt#_modules.1._parameters.weight"
    assert row["weight"].view(*row["shape"].tolist()).shape == (6, 4, 5, 5)


def test_a_later_sync_gives_fresh_rows(synced: Path, zoo: Path, tmp_path: Path, run_sync: Sync) -> None:
    cache = str(tmp_path / "cache")
    before = {
        name: len(load_dataset(str(synced), name, split="train", cache_dir=cache)) for name in ("layers", "models")
    }
    put(zoo / "more.safetensors", state(2))
    run_sync()
    after = {
        name: len(load_dataset(str(synced), name, split="train", cache_dir=cache)) for name in ("layers", "models")
    }
    assert after == {"layers": before["layers"] + 2, "models": before["models"] + 1}
    other = tmp_path / "other/dataset"
    other.parent.mkdir()
    run_sync(f"local:{zoo / 'more.safetensors'}", dataset=other)
    assert other.name == synced.name
    assert len(load_dataset(str(other), "layers", split="train", cache_dir=cache)) == 2


def test_everybody_reads_the_same_rows(synced: Path) -> None:
    folder = synced / "data/layers"
    arrow = pds.dataset(folder).to_table().sort_by("row_id")
    want = {
        row: np.array(weight, np.float32)
        for row, weight in zip(*(arrow[c].to_pylist() for c in ("row_id", "weight")), strict=True)
    }
    frame = pd.read_parquet(folder, filters=[("n_kernels", ">", 0)])
    lazy = pl.scan_parquet(folder / "**/*.parquet").collect()
    duck = duckdb.sql(f"select row_id, weight from '{folder}/**/*.parquet'").fetchall()
    for found in (
        dict(zip(frame["row_id"], frame["weight"], strict=True)),
        dict(zip(lazy["row_id"].to_list(), lazy["weight"].to_list(), strict=True)),
        dict(duck),
    ):
        assert found.keys() == want.keys()
        assert all(np.array_equal(np.asarray(found[row], np.float32), weight) for row, weight in want.items())


def test_index_leads_to_the_weight(synced: Path) -> None:
    index = pd.read_parquet(synced / "data/index/part.parquet")
    for row in index[index.file.notna()].itertuples():
        group = pds.dataset(synced / row.file).to_table(filter=pds.field("layer_id") == row.layer_id)
        assert group["layer_sha256"].to_pylist() == [row.layer_sha256]
    deep = duckdb.sql(f"select sum(n_kernels) from '{synced}/data/index/part.parquet' where kernel = '3x3'").fetchall()
    assert deep == [(12 + 8 + 12,)]


def test_what_sync_writes_is_sound(synced: Path) -> None:
    assert list(verify_folder(synced)) == []
