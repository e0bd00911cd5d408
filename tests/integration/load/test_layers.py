"""Layers chosen by a condition: the rows and numbers that the files hold, and not a byte of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Sync
from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.dataset.schema.arrow import INDEX, LAYERS
from filtercrawl.dataset.tables.export import export
from filtercrawl.load import first_layer_pictures, load_first_layers, load_layers, to_flat_tensor, to_tensors
from support.dataset_rows import example
from support.zoo_files import put, state, table

# More numbers than one row may have: three parts of 1820, 1820 and 60 channels.
LARGE = (3700, 256, 3, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name is a pattern to DuckDB, and a partition."""
    path = tmp_path_factory.mktemp("load") / "a=1, [it's] *.d?" / "dataset"
    path.parent.mkdir()
    export(path, example(path))
    return path


def in_files(folder: Path) -> dict[str, dict[str, object]]:
    rows = pds.dataset(folder / "data/layers").to_table().to_pylist()
    return {row["layer_id"]: row for row in rows}


def test_all_layers_are_the_rows_of_the_files_in_the_order_of_the_index(folder: Path) -> None:
    stored, index = in_files(folder), table(folder, "index")
    found = load_layers(folder)
    assert found.schema == LAYERS
    assert found.to_pylist() == [stored[row["layer_id"]] for row in index]


CONDITIONS = ["kernel = '3x3'", "depthwise", "n_kernels > 20", "model_id like 'local/%'", "layer = 'stem'", "false"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    terms=st.lists(st.tuples(st.booleans(), st.sampled_from(CONDITIONS)), min_size=1, max_size=3),
    word=st.sampled_from([" and ", " or "]),
    columns=st.lists(st.sampled_from([*INDEX.names, "weight"]), max_size=4),
)
def test_any_condition_and_any_columns(
    folder: Path, terms: list[tuple[bool, str]], word: str, columns: list[str]
) -> None:
    where = word.join(f"not ({term})" if negated else term for negated, term in terms)
    meaning = {
        "kernel = '3x3'": lambda row: row["kernel"] == "3x3",
        "depthwise": lambda row: row["depthwise"],
        "n_kernels > 20": lambda row: row["n_kernels"] > 20,
        "model_id like 'local/%'": lambda row: row["source"] == "local",
        "layer = 'stem'": lambda row: row["layer"] == "stem",
        "false": lambda row: False,
    }
    whole = all if word == " and " else any
    index = table(folder, "index")
    wanted = [row for row in index if whole(meaning[term](row) != negated for negated, term in terms)]
    found = load_layers(str(folder), where, columns)
    assert found.column_names == list(dict.fromkeys((*columns, "shape", "weight")))
    stored = in_files(folder)
    for row, want in zip(found.to_pylist(), wanted, strict=True):
        both = want | {"weight": stored[want["layer_id"]]["weight"]}
        assert row == {name: both[name] for name in found.column_names}


def test_a_large_layer_is_one_row(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    weight = torch.randn(LARGE)
    put(zoo / "a.safetensors", state(1))
    put(
        zoo / "large.safetensors",
        {"before.weight": torch.randn(8, 4, 3, 3), "large.weight": weight, "z.weight": torch.randn(4, 2, 3, 3)},
    )
    run_sync()
    stored = pds.dataset(dataset / "data/layers").to_table(filter=pds.field("n_parts") > 1)
    assert stored["part"].to_pylist() == [0, 1, 2]
    found = load_layers(dataset, "layer = 'large'")
    assert found.num_rows == 1
    assert {name: found[name][0].as_py() for name in ("part", "n_parts", "shape", "row_id")} == {
        "part": 0, "n_parts": 1, "shape": list(LARGE), "row_id": "local/large.safetensors#large.weight#part0"
    }  # fmt: skip
    assert torch.equal(to_tensors(found)[0], weight)
    every = load_layers(dataset, "kernel = '3x3'")
    assert every["layer"].to_pylist() == ["stem", "before", "large", "z"]
    assert [tuple(tensor.shape) for tensor in to_tensors(every)] == [
        tuple(shape) for shape in every["shape"].to_pylist()
    ]
    # Of the rows as they are stored the parts are joined, in any order, where all of them are there.
    (joined,) = to_tensors(stored.take([2, 0, 1]))
    assert torch.equal(joined, weight)
    assert [len(part) for part in to_tensors(stored.slice(1))] == [1820, 60]
    assert torch.equal(torch.cat(to_tensors(stored.slice(1))), weight[1820:])


def test_tensors_are_the_memory_of_the_table(folder: Path) -> None:
    found = load_layers(folder, "kernel != '3x3'")
    assert found["weight"].num_chunks == 1
    numbers = found["weight"].chunk(0).values
    start = numbers.buffers()[1].address
    whole = to_flat_tensor(found["weight"])
    assert (whole.data_ptr(), whole.dtype, len(whole)) == (start, torch.float32, len(numbers))
    place = start
    for tensor, shape in zip(to_tensors(found), found["shape"].to_pylist(), strict=True):
        assert (tensor.data_ptr(), list(tensor.shape)) == (place, shape)
        place += 4 * tensor.numel()
    part = found.slice(1, 2)
    assert torch.equal(to_flat_tensor(part["weight"]), torch.cat([tensor.flatten() for tensor in to_tensors(part)]))
    assert to_flat_tensor(part["weight"]).data_ptr() == to_tensors(found)[1].data_ptr()


def test_flat_takes_columns_of_any_chunks(folder: Path) -> None:
    column = pa.chunked_array([[[1.0, 2.0]], [], [[], [3.0]]], pa.list_(pa.float32()))
    assert to_flat_tensor(column).tolist() == [1, 2, 3]
    assert to_flat_tensor(column.chunk(0)).tolist() == [1, 2]
    empty = to_flat_tensor(load_layers(folder, "false")["weight"])
    assert (empty.tolist(), empty.dtype) == ([], torch.float32)
    assert to_flat_tensor(pa.chunked_array([], pa.list_(pa.float64()))).dtype == torch.float64
    assert to_flat_tensor(load_layers(folder)["n_kernels"]).dtype == torch.int64
    for bad in (pa.array(["x"]), pa.array([1, None]), pa.array([[1.0, None]]), pa.array([None, [1.0]])):
        with pytest.raises(UsageError, match="numbers"):
            to_flat_tensor(bad)


def test_tensors_need_a_shape_that_fits(folder: Path) -> None:
    found = load_layers(folder, "kernel = '3x3'", [])
    with pytest.raises(UsageError, match="no shape"):
        to_tensors(found.drop_columns("shape"))
    wrong = found.set_column(
        0, found.schema.field("shape"), pa.array([[1, 1, 3, 3]] * len(found), pa.list_(pa.int64()))
    )
    with pytest.raises(DatasetError, match="size"):
        to_tensors(wrong)


def test_duplicates_are_given_once_and_under_the_name_that_was_asked_for(
    zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(1))
    put(zoo / "c.safetensors", {**state(1), "extra.weight": torch.ones(1)})
    run_sync()
    stored, *others = (
        row["model_id"] for row in sorted(table(dataset, "models"), key=lambda row: not row["layers_file"])
    )
    assert len(others) == 2
    assert set(load_layers(dataset)["model_id"].to_pylist()) == {stored}
    for name in others:
        found = load_layers(dataset, f"model_id = '{name}'")
        assert set(found["model_id"].to_pylist()) == {name}
        assert found["layer_id"].to_pylist() == [f"{name}#deep.weight", f"{name}#stem.weight"]
        assert torch.equal(to_tensors(found)[1], state(1)["stem.weight"])
    assert set(load_layers(dataset, f"model_id != '{stored}'")["model_id"].to_pylist()) == {min(others)}


def test_layers_without_a_weight_are_left_out(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    assert {row["kernel"] for row in table(dataset, "index")} == {"1x1", "3x3", "5x5"}
    assert load_layers(dataset)["kernel"].to_pylist() == ["5x5", "3x3"]
    assert load_layers(dataset, "kernel = '1x1'").num_rows == 0


def test_only_what_matches_is_read(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    rows = example(copy)
    export(copy, rows)
    for path in sorted((copy / "data/layers").rglob("*.parquet")):
        file = pq.ParquetFile(path)
        data = bytearray(path.read_bytes())
        for group in range(file.num_row_groups):
            kernel = file.read_row_group(group, columns=["kernel"])["kernel"][0].as_py()
            if kernel != "7x7":
                for column in range(file.metadata.num_columns):
                    chunk = file.metadata.row_group(group).column(column)
                    start = chunk.dictionary_page_offset or chunk.data_page_offset
                    data[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
        path.write_bytes(data)
    assert load_layers(copy, "kernel = '7x7'").equals(load_layers(folder, "kernel = '7x7'"))
    with pytest.raises(DatasetError, match="cannot be read"):
        load_layers(copy, "kernel = '3x3'")
    for path in (copy / "data/layers/packages").rglob("*.parquet"):
        path.unlink()
    assert load_layers(copy, "kernel = '7x7' and source = 'local'").num_rows == 1
    with pytest.raises(DatasetError, match="the file is missing"):
        load_layers(copy, "kernel = '7x7'")


@pytest.mark.parametrize("where", ["nope = 1", "kernel =", "1 = 1) or (1 = 1", "true; select 1", "kernel"])
def test_a_condition_that_is_none_is_told_in_one_line(folder: Path, where: str) -> None:
    with pytest.raises(UsageError, match="cannot choose layers") as told:
        load_layers(folder, where)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("where", ["", " \n"])
def test_an_empty_condition_is_told(folder: Path, where: str) -> None:
    with pytest.raises(UsageError, match="the condition for layers is empty; None, or `true`, is for all layers"):
        load_layers(folder, where)


def test_what_is_no_dataset_is_told(tmp_path: Path, folder: Path) -> None:
    for root in (tmp_path / "none", "no/such/folder", "x", "../x"):
        with pytest.raises(DatasetError, match="no such folder"):
            load_layers(root)
    with pytest.raises(DatasetError, match="no dataset here; `filtercrawl sync"):
        load_layers(tmp_path)
    with pytest.raises(UsageError, match="is named 'picture'; the nearest is architecture; the page Schema"):
        load_layers(folder, None, ["layer", "picture"])
    (tmp_path / "data/index").mkdir(parents=True)
    (tmp_path / "data/index/part.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DatasetError, match="cannot be read"):
        load_layers(tmp_path)


def changed(folder: Path, into: Path, **columns: object) -> Path:
    """Export the example anew and set columns of its index."""
    export(into, example(into))
    index = pq.read_table(into / "data/index/part.parquet")
    for name, value in columns.items():
        field = index.schema.field(name)
        index = index.set_column(index.schema.get_field_index(name), field, pa.array([value] * len(index), field.type))
    pq.write_table(index, into / "data/index/part.parquet")
    return into


def test_an_index_of_other_types_is_found_out(folder: Path, tmp_path: Path) -> None:
    other = changed(folder, tmp_path / "changed")
    index = pq.read_table(other / "data/index/part.parquet")
    place = index.schema.get_field_index("out_channels")
    pq.write_table(
        index.set_column(place, "out_channels", pa.array(["x"] * len(index))), other / "data/index/part.parquet"
    )
    with pytest.raises(DatasetError, match="no index of layers"):
        load_layers(other)


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"file": "../../outside.parquet"}, "not the path of a layers file"),
        ({"file": "data/layers/../../../outside.parquet"}, "not the path of a layers file"),
        ({"file": "/etc/passwd"}, "not the path of a layers file"),
        ({"file": "data/layers/local/00/none.parquet"}, "the file is missing; `filtercrawl sync` writes it again"),
        ({"row_group": None}, "row_group is null"),
        ({"row_group": 99}, "no row group holds"),
        ({"row_group": -1}, "no row group holds"),
        ({"n_parts": 2}, "not the size|no row group"),
        ({"shape": [1, 1, 3, 3]}, "size"),
        ({"shape": [64, 64, 3, 3]}, "size"),
        ({"shape": [-1, 64, 3, 3]}, "-576 numbers"),
        ({"layer_id": "local/a.safetensors#other"}, "does not hold"),
    ],
)
def test_an_index_that_lies_is_found_out(folder: Path, tmp_path: Path, columns: dict[str, object], what: str) -> None:
    with pytest.raises(DatasetError, match=what):
        load_layers(changed(folder, tmp_path / "changed", **columns), "layer = 'features.2'")


def test_first_layers_are_those_that_nothing_precedes(folder: Path, tmp_path: Path) -> None:
    assert list(load_first_layers(folder)) == []  # the example does not know the order of its layers
    known = changed(folder, tmp_path / "known", is_first=True, recipe="a1_in1k")
    found = list(load_first_layers(known, "layer = 'stem' or layer = 'volume'"))
    assert [(name, tuple(weight.shape)) for name, weight in found] == 2 * [
        ("a1_in1k", (8, 3, 7, 7)),
        ("a1_in1k", (3, 2, 2, 3, 3)),
    ]
    (pictured,) = first_layer_pictures(known, "model_id = 'local/a.safetensors' and layer in ('stem', 'volume')")
    assert (pictured[0], pictured[1].shape, pictured[1].dtype) == ("a1_in1k", (8, 7, 7, 3), np.uint8)
    nameless = changed(folder, tmp_path / "nameless", is_first=True)
    assert [name for name, _ in load_first_layers(nameless, "layer = 'stem'")] == sorted(
        {row["model_id"] for row in table(folder, "index")}
    )
    stem = in_files(folder)["local/a.safetensors#stem.weight"]["weight"]
    assert np.array_equal(found[0][1].flatten().numpy(), np.array(stem, np.float32))
