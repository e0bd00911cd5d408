"""What analyses are given of a dataset folder, against the folder itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from filtercrawl.api.analysis import DatasetView
from filtercrawl.api.errors import Cancelled, DatasetError
from filtercrawl.dataset.schema.arrow import INDEX, MODELS, ROW_NUMBERS, SKETCHES
from filtercrawl_analysis.analyses.registry import ANALYSES
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from support.synthetic_datasets import Net, plant
from support.zoo_files import layers, models, state, table


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three networks: one with a layer that another has too, one with a layer of several parts, one of NaN."""
    first, second = state(1, width=8), state(2, width=8)
    second["stem.weight"] = first["stem.weight"].clone()
    wide = torch.randn(3, ROW_NUMBERS // 2 // 9, 3, 3, generator=torch.Generator().manual_seed(3))
    broken = torch.full((4, 4, 3, 3), float("nan"))
    third = {"wide.weight": wide, "broken.weight": broken, "line.weight": torch.randn(4, 4, 5)}
    nets = [Net(name=f"net{i}", state=tensors) for i, tensors in enumerate((first, second, third))]
    return plant(tmp_path_factory.mktemp("dataset"), nets)


def test_layers_are_learned_and_final_and_each_tensor_once(planted: Path) -> None:
    view: DatasetView = FolderDatasetView(planted)
    digests = view.index["layer_sha256"].to_pylist()
    assert len(set(digests)) == len(digests)
    stored = [row for row in table(planted, "index") if row["layer_sha256"] is not None]
    assert {row["layer_sha256"] for row in stored} == set(digests)
    assert len(stored) == len(digests) + 1
    assert set(view.index["weight_kind"].to_pylist()) == {"learned"}


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"weight_kind": "fixed"}, False),
        ({"weight_kind": "dynamic_bank"}, False),
        ({"weight_kind": "standardized"}, True),
        ({"run_final": False}, False),
        ({"run_final": True}, True),
        ({"layer_sha256": None}, False),
    ],
)
def test_what_is_not_learned_or_not_final_is_left_out(
    planted: Path, tmp_path: Path, change: dict[str, object], kept: bool
) -> None:
    copy = shutil.copytree(planted, tmp_path / "copy")
    rows = table(copy, "index")
    chosen = next(row for row in rows if row["layer"] == "deep")
    chosen.update(change)
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), copy / "data/index/part.parquet")
    assert (chosen["layer_id"] in FolderDatasetView(copy).index["layer_id"].to_pylist()) is kept


def test_columns_of_models_are_joined(planted: Path) -> None:
    index = FolderDatasetView(planted).index
    assert set(index.column_names) == {
        *INDEX.names,
        *(f"model_{name}" for name in MODELS.names if name not in INDEX.names),
    }
    known = models(planted)
    for row in index.to_pylist():
        assert row["model_name"] == known[row["model_id"]]["name"]
        assert row["model_file_sha256"] == known[row["model_id"]]["file_sha256"]


def test_kernels_are_those_stored_in_whatever_parts(planted: Path) -> None:
    view = FolderDatasetView(planted)
    digests = view.index["layer_sha256"].to_pylist()
    found: dict[str, list[np.ndarray]] = {}
    order = []
    for digest, part in view.kernels(digests):
        if not found.get(digest):
            order.append(digest)
        assert order[-1] == digest, "parts of a layer lie behind one another"
        found.setdefault(digest, []).append(part.copy())
    stored = layers(planted)
    assert max(len(parts) for parts in found.values()) > 1
    for row in view.index.to_pylist():
        whole = stored[row["layer_id"]].reshape(-1, row["taps"])
        assert np.array_equal(np.concatenate(found[row["layer_sha256"]]), whole, equal_nan=True)


def test_only_the_layers_that_are_asked_for_are_given(planted: Path) -> None:
    view = FolderDatasetView(planted)
    some = view.index["layer_sha256"].to_pylist()[1:3]
    assert {digest for digest, _ in view.kernels(some)} == set(some)
    assert {digest for digest, _ in view.samples(some)} == set(some)
    assert view.sketches(some[::-1])["layer_sha256"].to_pylist() == some[::-1]
    assert list(view.kernels([])) == []
    assert view.sketches([]).schema == SKETCHES


def test_samples_are_those_of_the_table(planted: Path) -> None:
    view = FolderDatasetView(planted)
    expected: dict[str, list[list[float]]] = {}
    for row in table(planted, "samples"):
        expected.setdefault(row["layer_id"], []).append(row["values"])
    names = dict(zip(*(view.index[n].to_pylist() for n in ("layer_sha256", "layer_id")), strict=True))
    found = {names[digest]: values for digest, values in view.samples(list(names))}
    assert set(found) == set(names.values())
    for layer_id, values in found.items():
        assert np.array_equal(values, np.array(expected[layer_id], np.float32), equal_nan=True)


def test_layers_without_a_sketch_are_sketched_from_their_kernels(planted: Path, tmp_path: Path) -> None:
    digests = FolderDatasetView(planted).index["layer_sha256"].to_pylist()
    stored = FolderDatasetView(planted).sketches(digests).to_pylist()
    copy = shutil.copytree(planted, tmp_path / "copy")
    shutil.rmtree(copy / "data/sketches")
    made = FolderDatasetView(copy).sketches(digests).to_pylist()
    for one, other in zip(stored, made, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert value == (
                pytest.approx(other[name], rel=1e-9, abs=1e-9) if isinstance(value, list | float) else other[name]
            )


def test_sketches_need_no_file_of_layers_and_kernels_name_what_is_missing(planted: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(planted, tmp_path / "copy")
    shutil.rmtree(copy / "data/layers")
    view = FolderDatasetView(copy)
    digests = view.index["layer_sha256"].to_pylist()
    assert len(view.sketches(digests)) == len(digests)
    with pytest.raises(DatasetError, match=r"the file is missing; run `filtercrawl sync`"):
        list(view.kernels(digests))
    shutil.rmtree(copy / "data/sketches")
    with pytest.raises(DatasetError, match=r"the file is missing; run `filtercrawl sync`"):
        FolderDatasetView(copy).sketches(digests)


def test_a_dataset_without_kernels_gives_nothing_to_analyse(tmp_path: Path) -> None:
    view = FolderDatasetView(tmp_path)
    assert (len(view.index), len(view.models)) == (0, 0)
    for analysis in ANALYSES:
        result = analysis.run(view)
        assert (result.tables, result.figures) == ((), ())
        assert not result.findings
        assert result.note.startswith("Nothing to analyze")


def test_progress_is_told_and_may_end_the_run(planted: Path) -> None:
    def watch(done: int, total: int, what: str) -> None:
        assert 0 <= done <= total
        raise Cancelled(what)

    for analysis in ANALYSES:
        if analysis.name != "census":  # over before anybody could watch
            with pytest.raises(Cancelled):
                analysis.run(FolderDatasetView(planted, progress=watch))


def test_columns_carry_no_constraints_into_result_tables(planted: Path) -> None:
    view = FolderDatasetView(planted)
    assert all(field.nullable for table in (view.index, view.models) for field in table.schema)
