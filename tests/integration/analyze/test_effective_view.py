"""The view `effective` of analyses: kernels, samples, sketches and quality are those of effective weights."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from filtercrawl.api.analysis import AnalysisOptions, DatasetView
from filtercrawl.api.measure import LayerSummary
from filtercrawl.dataset.schema.arrow import SKETCHES
from filtercrawl.dataset.tables.export import export
from filtercrawl.extraction.effective import LayerKey, Recipe, Term
from filtercrawl.load import load_layers, to_tensors
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.data.effective_counts import effective_counts
from filtercrawl_analysis.data.effective_statistics import MEASURED
from filtercrawl_analysis.layer_stats.layer_quality import SketchedQuality
from support.dataset_rows import MemoryRows, batch_norm_after

NET = (("stem", (8, 3, 7, 7), 1), ("conv", (20, 8, 3, 3), 1), ("dw", (16, 1, 3, 3), 16), ("branch", (20, 8, 3, 3), 1))
OPTIONS = AnalysisOptions(view="effective")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two checkpoints; the first has a merged layer, a folded one, and one that is as stored."""
    rows = MemoryRows(tmp_path)
    rows.add("local/a.pt", NET)
    rows.add("local/b.pt", NET[:2])
    (stem,) = (row for row in rows.layers_of("local/a.pt") if row.layer == "stem")
    merged = Recipe(
        layer=LayerKey("conv.weight"),
        steps=("branches",),
        shape=(20, 8, 3, 3),
        groups=1,
        terms=(Term(layer=LayerKey("conv.weight")), Term(layer=LayerKey("branch.weight"))),
    )
    rows.add_recipes("local/a.pt", batch_norm_after(stem), merged)
    export(tmp_path, rows)
    (tmp_path / ".filtercrawl").mkdir(exist_ok=True)
    return tmp_path


def loaded(folder: Path) -> dict[str, NDArray[np.float32]]:
    table = load_layers(folder, view="effective")
    return {name: w.numpy() for name, w in zip(table["layer_id"].to_pylist(), to_tensors(table), strict=True)}


def test_the_layers_are_those_that_the_networks_have(folder: Path) -> None:
    view: DatasetView = FolderDatasetView(folder, OPTIONS)
    names = view.index["layer_id"].to_pylist()
    assert names == [f"local/a.pt#{layer}.weight" for layer in ("conv", "dw", "stem")] + [
        "local/b.pt#conv.weight", "local/b.pt#stem.weight"
    ]  # fmt: skip
    raw = view.with_view("raw")
    # Both stems have the same stored weight; only that of the first is normalized.
    assert len(raw.index) == len(names) == 5
    assert raw.with_view("effective").index.equals(view.index)


def test_kernels_are_the_effective_ones(folder: Path) -> None:
    view = FolderDatasetView(folder, OPTIONS)
    expected = loaded(folder)
    by_digest = dict(zip(view.index["layer_sha256"].to_pylist(), view.index["layer_id"].to_pylist(), strict=True))
    parts: dict[str, list[NDArray[np.float32]]] = {}
    for digest, kernels in view.kernels(list(by_digest)):
        parts.setdefault(by_digest[digest], []).append(kernels)
    assert parts.keys() == set(by_digest.values())
    for name, pieces in parts.items():
        whole = np.concatenate(pieces)
        np.testing.assert_array_equal(whole, expected[name].reshape(len(whole), -1))


def test_quality_sketches_and_samples_are_those_of_the_effective_weight(folder: Path) -> None:
    view, raw = FolderDatasetView(folder, OPTIONS), FolderDatasetView(folder)
    expected, index = loaded(folder), view.index
    digests = index["layer_sha256"].to_pylist()
    sketches = view.sketches(digests)
    assert sketches.schema == SKETCHES
    assert sketches["layer_sha256"].to_pylist() == digests
    samples = dict(view.samples(digests))
    stored_samples = dict(raw.samples(raw.index["layer_sha256"].to_pylist()))
    for row, sketch in zip(index.to_pylist(), sketches.to_pylist(), strict=True):
        weight = expected[row["layer_id"]]
        taps = row["taps"]
        if row["effective_sha256"] is None:
            np.testing.assert_array_equal(samples[row["layer_sha256"]], stored_samples[row["layer_sha256"]])
            continue
        summary = LayerSummary(
            shape=weight.shape, n_kernels=row["n_kernels"], taps=taps, max_abs=float(np.abs(weight).max())
        )
        quality = SketchedQuality(summary)
        quality.update(torch.from_numpy(weight))
        assert {name: row[name] for name in MEASURED} == {**quality.finish(), "n_nonfinite": 0}
        assert sketch == {**quality.sketch(), "layer_sha256": row["layer_sha256"]}
        kernels = {kernel.tobytes() for kernel in weight.reshape(-1, taps)}
        assert len(samples[row["layer_sha256"]]) == min(64, row["n_kernels"])
        assert all(kernel.tobytes() in kernels for kernel in samples[row["layer_sha256"]])


def test_what_was_computed_is_kept_and_made_again_where_it_is_lost(folder: Path) -> None:
    index = FolderDatasetView(folder, OPTIONS).index
    digests = index["layer_sha256"].to_pylist()
    sketches = FolderDatasetView(folder, OPTIONS).sketches(digests)
    layers = folder / "data/layers"
    layers.rename(folder / "away")
    again = FolderDatasetView(folder, OPTIONS)
    assert again.index.equals(index)
    assert again.sketches(digests).equals(sketches)
    (folder / "away").rename(layers)
    (folder / ".filtercrawl/effective.sqlite").write_bytes(b"damaged" * 1000)
    assert FolderDatasetView(folder, OPTIONS).sketches(digests).equals(sketches)
    shutil.rmtree(folder / ".filtercrawl")
    assert FolderDatasetView(folder, OPTIONS).sketches(digests).equals(sketches)


@pytest.mark.exhaustive  # waits for the lock
def test_a_file_that_another_process_has_is_not_deleted(folder: Path) -> None:
    view = FolderDatasetView(folder, OPTIONS)
    digests = view.index["layer_sha256"].to_pylist()
    sketches = view.sketches(digests)
    path = folder / ".filtercrawl/effective.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        kept, file = sorted(database.execute("SELECT * FROM layers")), path.stat().st_ino
        database.execute("BEGIN EXCLUSIVE")
        assert FolderDatasetView(folder, OPTIONS).sketches(digests).equals(sketches)
        database.execute("ROLLBACK")
        assert sorted(database.execute("SELECT * FROM layers")) == kept
    assert path.stat().st_ino == file


def test_statistics_of_layers_that_are_gone_and_of_older_methods_are_deleted(folder: Path) -> None:
    digests = FolderDatasetView(folder, OPTIONS).index["layer_sha256"].to_pylist()
    path = folder / ".filtercrawl/effective.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        kept = sorted(database.execute("SELECT * FROM layers"))
        database.executemany("INSERT INTO layers VALUES (?, ?, '', '', '')", [("gone", 1), (kept[0][0], -1)])
        database.commit()
    assert len(FolderDatasetView(folder, OPTIONS).sketches(digests)) == len(digests)
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert sorted(database.execute("SELECT * FROM layers")) == kept


def test_a_dataset_without_effective_weights_is_the_same_in_both_views(tmp_path: Path) -> None:
    rows = MemoryRows(tmp_path)
    rows.add("local/b.pt", NET)
    export(tmp_path, rows)
    view, raw = FolderDatasetView(tmp_path, OPTIONS), FolderDatasetView(tmp_path)
    assert view.index.equals(raw.index)
    digests = view.index["layer_sha256"].to_pylist()
    assert view.sketches(digests).equals(raw.sketches(digests))


def test_layers_standardized_by_an_unknown_formula_are_counted_and_not_analyzed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = MemoryRows(tmp_path)
    rows.add("local/a.pt", NET)
    rows.add("local/b.pt", NET[:2])
    rows.fold("local/a.pt", "stem")
    for row in rows.index_rows:
        if row["model_id"] == "local/b.pt" or row["layer"] == "stem":
            row["weight_kind"] = "standardized"
    export(tmp_path, rows)
    view = FolderDatasetView(tmp_path, OPTIONS)
    assert set(view.index["model_id"].to_pylist()) == {"local/a.pt"}
    assert view.index.num_rows == view.all_layers.num_rows == 4
    counts = {"total": 6, "models": 2, "unknown": 2, "effective": 1, "norm_by_name": 1, "eps_assumed": 1}
    with caplog.at_level("WARNING"):
        assert effective_counts(tmp_path, view.index) == counts
    (told,) = caplog.messages
    assert told.startswith("2 layers are left out of the view `effective`")
