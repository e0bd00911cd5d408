"""The view `effective`: weights as the networks convolve with them, against the formula in float64."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.schema.arrow import LAYERS
from filtercrawl.dataset.tables.export import export
from filtercrawl.extraction.effective import LayerKey, Recipe, Term
from filtercrawl.load import load_layers, open_dataset, to_tensors
from support.dataset_rows import MemoryRows, batch_norm_after, example
from support.paths import REPOSITORY

A, B = "local/a.safetensors", "packages/speech/b.onnx"
PAGE = REPOSITORY / "docs/dataset.md"
ADDED = ["effective_steps", "eps_assumed"]


def weights(table: pa.Table) -> dict[str, NDArray[np.float32]]:
    return {name: weight.numpy() for name, weight in zip(table["layer_id"].to_pylist(), to_tensors(table), strict=True)}


def fused(rows: MemoryRows, model_id: str, raw: NDArray[np.float32], layer: str) -> NDArray[np.float32]:
    """What torch makes of a convolution and the batch normalization that `batch_norm_after` lets follow."""
    (row,) = (row for row in rows.layers_of(model_id) if row.layer == layer)
    norm = batch_norm_after(row).norm
    assert norm is not None
    assert norm.scale is not None
    assert norm.offset is not None
    conv = nn.Conv2d(raw.shape[1], raw.shape[0], raw.shape[2:], bias=False).double().eval()
    conv.weight.data = torch.from_numpy(raw.astype(np.float64))
    bn = nn.BatchNorm2d(raw.shape[0]).double().eval()
    parameters = (bn.weight, bn.bias, bn.running_mean, bn.running_var)
    for parameter, values in zip(parameters, (norm.scale, norm.offset, norm.mean, norm.variance), strict=True):
        assert parameter is not None
        parameter.data = torch.from_numpy(values.astype(np.float64))
    return fuse_conv_bn_eval(conv, bn).weight.detach().float().numpy()


def test_a_batch_normalization_is_folded_as_torch_does(tmp_path: Path) -> None:
    rows = example(tmp_path)
    export(tmp_path, rows)
    raw, found = load_layers(tmp_path), load_layers(tmp_path, view="effective")
    assert found.schema.names == [*LAYERS.names, *ADDED]
    assert found["layer_id"].equals(raw["layer_id"])
    folded = f"{A}#features.2.weight"
    before, after = weights(raw), weights(found)
    for name in before:
        if name == folded:
            np.testing.assert_array_equal(after[name], fused(rows, A, before[name], "features.2"))
            assert not np.allclose(after[name], before[name], rtol=0.01)
        else:
            np.testing.assert_array_equal(after[name], before[name])
    told = {row["layer_id"]: row for row in found.select(["layer_id", *ADDED]).to_pylist()}
    assert told.pop(folded) == {"layer_id": folded, "effective_steps": ["batch_norm"], "eps_assumed": True}
    assert {(row["effective_steps"], row["eps_assumed"]) for row in told.values()} == {(None, None)}
    assert open_dataset(tmp_path).layers(view=["raw", "effective"]).equals(found)


def test_only_what_is_asked_for_is_returned(tmp_path: Path) -> None:
    rows = example(tmp_path)
    export(tmp_path, rows)
    found = load_layers(tmp_path, "layer = 'features.2'", ["kernel"], view="effective")
    assert found.column_names == ["kernel", "shape", "weight", *ADDED]
    assert sorted(map(str, found["effective_steps"].to_pylist())) == ["None", "['batch_norm']"]
    assert load_layers(tmp_path, "false", view="effective").num_rows == 0
    asked = load_layers(tmp_path, "effective_steps is not null", ["effective_steps"], view="effective")
    assert asked.column_names == ["effective_steps", "shape", "weight", "eps_assumed"]
    assert asked["effective_steps"].to_pylist() == [["batch_norm"]]


BRANCHES = (
    ("main", (4, 2, 7, 7), 1),
    ("small", (4, 2, 3, 3), 1),
    ("dilated", (4, 2, 3, 3), 1),
    ("other", (4, 2, 3, 3), 1),
)


def test_normalizations_of_a_graph_are_chosen_as_the_page_says(tmp_path: Path) -> None:
    rows = MemoryRows(tmp_path)
    rows.add(A)
    stem, dw, _, _, volume = rows.layers_of(A)
    by_name, of_graph = batch_norm_after(stem), batch_norm_after(volume)
    assert of_graph.norm is not None
    of_graph = replace(of_graph, norm=replace(of_graph.norm, evidence="graph"))
    rows.add_recipes(A, by_name, of_graph, replace(batch_norm_after(dw), norm=None, steps=("weight_norm",)))
    export(tmp_path, rows)
    (stated,) = re.findall(r'`load_layers\(DIR, "([^"]*)", view="effective"\)`', PAGE.read_text("utf-8"))
    where = " ".join(stated.split()).replace("DIR", str(tmp_path))
    found = load_layers(tmp_path, where, ["layer"], view="effective")
    assert set(found["layer"].to_pylist()) == {"features.1.dw", "features.2", "encoder.1d", "volume"}


def merged(rest: NDArray[np.float32] | None = None) -> Recipe:
    scale = np.array([1.5, -2.0, 0.25, 3.0]).reshape(4, 1, 1, 1)
    return Recipe(
        layer=LayerKey("main.weight"),
        steps=("branches",),
        shape=(4, 2, 7, 7),
        groups=1,
        terms=(
            Term(layer=LayerKey("main.weight"), shift=np.full((4, 1, 1, 1), 0.5)),
            Term(layer=LayerKey("small.weight"), scale=scale),
            Term(layer=LayerKey("dilated.weight"), dilation=(3, 3)),
        ),
        rest=rest,
    )


def test_branches_are_merged_into_one_row(tmp_path: Path) -> None:
    rows = MemoryRows(tmp_path)
    rows.add("local/net.pt", BRANCHES)
    rest = np.random.default_rng(0).standard_normal((4, 2, 1, 1)).astype(np.float32)
    rows.add_recipes("local/net.pt", merged(rest))
    export(tmp_path, rows)
    raw = weights(load_layers(tmp_path, view="raw"))
    expected = raw["local/net.pt#main.weight"].astype(np.float64) + 0.5
    scale = np.array([1.5, -2.0, 0.25, 3.0]).reshape(4, 1, 1, 1)
    expected += np.pad(raw["local/net.pt#small.weight"] * scale, ((0, 0), (0, 0), (2, 2), (2, 2)))
    for y in range(3):
        for x in range(3):
            expected[:, :, 3 * y, 3 * x] += raw["local/net.pt#dilated.weight"][:, :, y, x]
    expected[:, :, 3:4, 3:4] += rest
    # The branches are read although the condition leaves them out.
    for where in (None, "layer = 'main'", "kernel = '7x7' or layer = 'other'"):
        found = load_layers(tmp_path, where, view="effective")
        assert set(found["layer"].to_pylist()) == ({"main"} if where and "other" not in where else {"main", "other"})
        after = weights(found)
        np.testing.assert_array_equal(after["local/net.pt#main.weight"], expected.astype(np.float32))
        if len(after) > 1:
            np.testing.assert_array_equal(after["local/net.pt#other.weight"], raw["local/net.pt#other.weight"])


def test_equal_stored_weights_before_other_normalizations_are_two(tmp_path: Path) -> None:
    """All checkpoints of the example have the same stem; what follows it differs."""
    rows = example(tmp_path)
    rows.add("local/copy.pt", [("stem", (8, 3, 7, 7), 1)])
    shared = next(row for row in rows.index_rows if row["layer_id"] == f"{A}#stem.weight")
    copied = rows.index_rows[-1]
    copied |= {"file": shared["file"], "row_group": None, "duplicate_of": shared["layer_id"]}
    rows.files.pop()
    for model_id in (A, "local/copy.pt"):
        rows.fold(model_id, "stem")
    export(tmp_path, rows)
    stem = "layer = 'stem' and source = 'local'"
    assert load_layers(tmp_path, stem)["model_id"].to_pylist() == [A]
    found = load_layers(tmp_path, stem, view="effective")
    assert found["model_id"].to_pylist() == [A, "local/copy.pt"]
    raw = weights(load_layers(tmp_path, stem))[f"{A}#stem.weight"]
    for name, weight in weights(found).items():
        np.testing.assert_array_equal(weight, fused(rows, name.partition("#")[0], raw, "stem"))


def test_a_dataset_of_before_there_were_effective_weights(tmp_path: Path) -> None:
    rows = example(tmp_path)
    rows.recipes.clear()
    export(tmp_path, rows)
    index = tmp_path / "data/index/part.parquet"
    table = pq.read_table(index).drop_columns(["effective_sha256", "effective_steps", "merged_into"])
    pq.write_table(table, index)
    found = load_layers(tmp_path, view="effective")
    assert found.drop_columns(ADDED).equals(load_layers(tmp_path))
    assert found["effective_steps"].null_count == found["eps_assumed"].null_count == found.num_rows > 0


@pytest.mark.parametrize("wrong", ["missing", "shape", "branch"])
def test_a_table_that_does_not_fit_is_told(tmp_path: Path, wrong: str) -> None:
    rows = MemoryRows(tmp_path)
    rows.add("local/net.pt", BRANCHES)
    recipe = merged()
    if wrong == "shape":
        recipe = replace(recipe, shape=(4, 2, 9, 9))
    if wrong == "branch":
        recipe = replace(recipe, terms=(*recipe.terms[:2], replace(recipe.terms[2], dilation=(4, 4))))
    rows.add_recipes("local/net.pt", recipe)
    export(tmp_path, rows)
    if wrong == "missing":
        path = tmp_path / "data/effective/part.parquet"
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    with pytest.raises(DatasetError, match=r"local/net\.pt#main\.weight"):
        load_layers(tmp_path, view="effective")


def test_layers_standardized_by_an_unknown_formula_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows what the network convolves with: not with the stored weight."""
    rows = example(tmp_path)
    for row in rows.index_rows:
        if row["layer"] in ("features.2", "stem"):  # the first of these has a recipe in one of the checkpoints
            row["weight_kind"] = "standardized"
    export(tmp_path, rows)
    with caplog.at_level("WARNING"):
        found = load_layers(tmp_path, "source = 'local'", ["layer", "weight_kind"], view="effective")
    assert found.column_names == ["layer", "weight_kind", "shape", "weight", *ADDED]
    left = dict(zip(found["layer"].to_pylist(), found["effective_steps"].to_pylist(), strict=True))
    assert left == {"features.1.dw": None, "encoder.1d": None, "volume": None, "features.2": ["batch_norm"]}
    (told,) = caplog.messages
    assert told.startswith("1 layer is left out of the view `effective`: standardized by a formula")
    assert "arch=" in told
    assert load_layers(tmp_path, "source = 'local'").num_rows == 5
    caplog.clear()
    assert load_layers(tmp_path, "layer = 'volume'", view="effective").num_rows == 2
    assert not caplog.messages
