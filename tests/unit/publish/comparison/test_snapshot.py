"""Layers of two snapshots are aligned by checkpoint, in whatever order `index` has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl.api.errors import DatasetError
from filtercrawl_publish.comparison.compare import compare_snapshots
from filtercrawl_publish.comparison.snapshot import (
    DatasetSnapshot,
    align_layers,
    files_to_compare,
    set_unchanged_apart,
)


def snapshot(folder: Path, rows: list[tuple[str, str, str | None]]) -> DatasetSnapshot:
    """Write an index of (model_id, layer_id, sha256)."""
    (folder / "data/index").mkdir(parents=True)
    columns: list[dict[str, Any]] = [
        {
            "model_id": model_id,
            "layer_id": layer_id,
            "layer_sha256": sha256,
            "kernel": "3x3",
            "n_kernels": 2,
            "row_group": None if layer_id == "duplicate" else 0,
            "weight_kind": "learned",
            "run_final": None,
        }
        for model_id, layer_id, sha256 in rows
    ]
    pq.write_table(pa.Table.from_pylist(columns), folder / "data/index/part.parquet")
    return DatasetSnapshot(folder, folder.name)


def aligned(before: DatasetSnapshot | None, after: DatasetSnapshot) -> dict[str, tuple[list[str], list[str]]]:
    pairs = list(align_layers(before, after))
    assert len({model_id for model_id, _, _ in pairs}) == len(pairs)
    return {
        model_id: ([layer.layer_sha256 for layer in old], [layer.layer_sha256 for layer in new])
        for model_id, old, new in pairs
    }


def test_align_layers(tmp_path: Path) -> None:
    before = snapshot(tmp_path / "a", [("same", "1", "x"), ("changed", "1", "y"), ("gone", "1", "z")])
    after = snapshot(tmp_path / "b", [("new", "1", "n"), ("changed", "1", "Y"), ("same", "1", "x")])
    assert aligned(before, after) == {
        "gone": (["z"], []),
        "same": (["x"], ["x"]),
        "changed": (["y"], ["Y"]),
        "new": ([], ["n"]),
    }
    assert aligned(None, before) == {"same": ([], ["x"]), "changed": ([], ["y"]), "gone": ([], ["z"])}


def test_layers_without_weights_are_left_out(tmp_path: Path) -> None:
    rows = [("a", "1", "x"), ("a", "unread", None), ("b", "unread", None), ("c", "duplicate", "x")]
    layers = dict(snapshot(tmp_path / "a", rows).layers())
    assert {model_id: [layer.stored for layer in found] for model_id, found in layers.items()} == {
        "a": [True],
        "c": [False],
    }


def test_an_index_out_of_order_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not in order"):
        list(snapshot(tmp_path / "a", [("a", "1", "x"), ("b", "1", "x"), ("a", "2", "x")]).layers())


def test_absent_tables_and_columns(tmp_path: Path) -> None:
    dataset = snapshot(tmp_path / "a", [("a", "1", "x")])
    assert list(dataset.rows("withdrawn")) == []
    assert dataset.columns("models") == []
    assert list(dataset.rows("index", ("model_id", "sparsity"))) == [{"model_id": "a", "sparsity": None}]
    with pytest.raises(DatasetError, match="no dataset here"):
        DatasetSnapshot.open(tmp_path / "none", "none")


def models_of(folder: Path, part: str, rows: list[dict[str, Any]]) -> None:
    (folder / "data/models").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / f"data/models/{part}.parquet")


def test_what_is_kept_without_access_is_told_once(tmp_path: Path) -> None:
    held = {"outcome": "emitted", "reason": None, "n_layers": 2, "state": None}
    gated, other = '{"restricted":"gated"}', '{"restricted":"disabled"}'
    states = {
        "a/new": (None, gated),
        "b/another": (other, gated),
        "c/known": (gated, gated),
        "d/open": (gated, None),
        "e/of somebody else": ("[", "[]"),
    }
    for index, side in enumerate(("before", "after")):
        models_of(tmp_path / side, "part", [held | {"model_id": "same"}])
        rows = [held | {"model_id": name, "state": known[index]} for name, known in states.items()]
        more = held | {"model_id": "z", "state": gated, "n_layers": (None, 2)[index]}
        models_of(tmp_path / side, "part--v2", [*rows, more])
    sides = [DatasetSnapshot(tmp_path / name, name) for name in ("before", "after")]
    assert len(list(set_unchanged_apart(*sides)[2].parts())) == 1
    difference = compare_snapshots(*sides)
    assert difference.kept == [{"model_id": name, "reason": "gated"} for name in ("a/new", "b/another")]
    assert (difference.before["models"], difference.after["models"]) == (6, 7)


def test_files_to_compare() -> None:
    paths = [
        "data/layers/a.parquet",
        "data/models/part.parquet",
        "data/sketches/part.parquet",
        "manifest.json",
        "README.md",
    ]
    assert files_to_compare(paths) == ["data/models/part.parquet", "data/sketches/part.parquet", "manifest.json"]
