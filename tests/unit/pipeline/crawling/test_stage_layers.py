"""The files of `layers`: parts, order, row groups, hashes, statistics; the same bytes every time."""

from __future__ import annotations

import hashlib
import math
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.convolution import Convolution
from filtercrawl.api.errors import Cancelled
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.dataset.files import layers_writer
from filtercrawl.dataset.files.layers_writer import filename_slug
from filtercrawl.dataset.schema.arrow import LAYERS, ROW_GROUP_BYTES, ROW_NUMBERS
from filtercrawl.dataset.tables import staged_layers
from filtercrawl.dataset.tables.staged_layers import StagedLayers, n_parts
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.pipeline.crawling.stage_layers import LayerStager

Weights = dict[str, np.ndarray]


def tensors(weights: Weights) -> list[StoredTensor]:
    """Depthwise where there is one input channel, so that both kinds occur."""
    return [
        StoredTensor(
            name=name, key=name, shape=weight.shape, dtype="float32",
            location=TensorLocation(file=MemoryFile(weight.tobytes()), offset=0, dtype="float32", shape=weight.shape),
            convolution=Convolution(op="conv2d", groups=len(weight) if weight.shape[1] == 1 else 1, source="module"),
        )
        for name, weight in weights.items()
    ]  # fmt: skip


def made(weights: Weights, folder: Path) -> StagedLayers:
    layers = classify_tensors(tensors(weights)).layers
    return LayerStager(staging=folder, device=torch.device("cpu"), measures=()).write("lab/net", "lab", layers)


@st.composite
def networks(draw: st.DrawFn) -> Weights:
    sizes = st.sampled_from([(3, 3), (1, 5), (2, 2)])
    shapes = draw(st.lists(st.tuples(st.integers(1, 40), st.sampled_from([1, 2, 5]), sizes), min_size=1, max_size=6))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    return {
        f"{i}.weight": random.normal(size=(out, inputs, *size)).astype("f4")
        for i, (out, inputs, size) in enumerate(shapes)
    }


@settings(max_examples=25, deadline=None)
@given(networks(), st.sampled_from([1, 30, 100, 1000]))
def test_what_holds_of_every_file(weights: Weights, row_numbers: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(staged_layers, "ROW_NUMBERS", row_numbers)
        patch.setattr(layers_writer, "ROW_GROUP_BYTES", 8 * row_numbers)
        written = made(weights, Path(folder))
        assert written.staged is not None
        data = written.staged.read_bytes()
        assert (written.size, written.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        with pq.ParquetFile(written.staged) as file:
            check_groups(file, 8 * row_numbers)
            table = file.read()
            groups = [
                (layer_id, number)
                for number in range(file.num_row_groups)
                for layer_id in file.read_row_group(number, columns=["layer_id"])["layer_id"].to_pylist()
            ]
    assert table.schema.equals(LAYERS)
    rows = table.drop_columns("weight").to_pylist()
    keys = [(row["kernel"], row["depthwise"]) for row in rows]
    assert keys == sorted(keys)
    numbers = [value.values.to_numpy() for value in table["weight"]]
    for row, part in zip(rows, numbers, strict=True):
        assert len(part) == math.prod(row["shape"]) == row["n_kernels"] * row["taps"]
        assert len(part) <= row_numbers or row["shape"][0] == 1
        assert row["weight_sha256"] == hashlib.sha256(part.tobytes()).hexdigest()
        assert row["row_id"] == f"{row['layer_id']}#part{row['part']}"
    index = {row.tensor: row for row in written.rows}
    for name, weight in weights.items():
        of_layer = [(row, part) for row, part in zip(rows, numbers, strict=True) if row["tensor"] == name]
        assert [row["part"] for row, _ in of_layer] == list(range(of_layer[0][0]["n_parts"]))
        assert [row["out_start"] for row, _ in of_layer] == [0, *np.cumsum([r["shape"][0] for r, _ in of_layer])[:-1]]
        assert np.concatenate([part for _, part in of_layer]).tobytes() == weight.tobytes()
        digest = hashlib.sha256(weight.tobytes()).hexdigest()
        assert {row["layer_sha256"] for row, _ in of_layer} == {digest} == {index[name].layer_sha256}
        assert index[name].row_group == next(g for layer_id, g in groups if layer_id == f"lab/net#{name}")


def check_groups(file: pq.ParquetFile, limit: int) -> None:
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        part = file.read_row_group(number, columns=["kernel", "depthwise", "weight", "shape"])
        assert len(set(zip(part["kernel"].to_pylist(), part["depthwise"].to_pylist(), strict=True))) == 1
        assert 4 * len(part["weight"].combine_chunks().values) <= limit or len(part) == 1
        for place in range(group.num_columns):
            column = group.column(place)
            assert column.compression == "ZSTD"
            if column.path_in_schema in ("kernel", "taps", "depthwise", "layer_sha256"):
                assert column.is_stats_set
                assert column.has_column_index
                assert column.has_offset_index
            if column.path_in_schema.startswith("weight."):
                assert "BYTE_STREAM_SPLIT" in column.encodings


@settings(max_examples=20, deadline=None)
@given(networks())
def test_the_same_layers_give_the_same_bytes(weights: Weights) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        first, second = made(weights, Path(one)), made(weights, Path(other))
        assert (first.path, first.sha256, first.rows) == (second.path, second.sha256, second.rows)


@given(st.lists(st.integers(1, 5000), min_size=3, max_size=5))
def test_parts_cover_a_layer(shape: list[int]) -> None:
    found = n_parts(shape)
    a_channel = math.prod(shape[1:])
    assert found[0][0] == 0
    assert found[-1][1] == shape[0]
    assert all(stop == start for (_, stop), (start, _) in pairwise(found))
    for start, stop in found:
        assert 0 < (stop - start) * a_channel <= ROW_NUMBERS or stop - start == 1
    # No more parts than need be: another channel would not fit.
    assert all((stop - start + 1) * a_channel > ROW_NUMBERS for start, stop in found[:-1])


def test_limits_are_those_of_the_contract() -> None:
    assert ROW_NUMBERS == 4_194_304
    assert 4 * ROW_NUMBERS <= ROW_GROUP_BYTES <= 64 * 2**20


@given(st.text(max_size=200))
def test_a_slug_is_a_plain_name(name: str) -> None:
    found = filename_slug(name)
    assert 1 <= len(found) <= 80
    assert found[0].isalnum()
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


def test_a_cancelled_run_leaves_nothing_behind(tmp_path: Path) -> None:
    token = CancellationToken()
    token.cancel()
    layers = classify_tensors(tensors({"a.weight": np.ones((2, 2, 3, 3), "f4")})).layers
    writer = LayerStager(staging=tmp_path, device=torch.device("cpu"), measures=(), cancellation=token)
    with pytest.raises(Cancelled):
        writer.write("lab/net", "lab", layers)
    assert list(tmp_path.iterdir()) == []
