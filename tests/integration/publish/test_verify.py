"""The command `verify`: silent about a sound dataset, one line for everything that is wrong with another."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.dataset.schema.arrow import EFFECTIVE, FILES, LAYERS
from filtercrawl.dataset.tables.effective import of_checkpoint
from filtercrawl.dataset.tables.export import export
from filtercrawl_publish.commands.verify import filtercrawl_commands
from filtercrawl_publish.publishing.checkpoints_file import CHECKPOINTS, write_checkpoints
from filtercrawl_publish.verification import verify_folder
from support.dataset_rows import MemoryRows, example, sketch
from support.zoo_files import table

pytestmark = pytest.mark.usefixtures("forked_children")

Row = dict[str, Any]
A = "local/a.safetensors"


def sound(folder: Path) -> MemoryRows:
    """A dataset that is true to itself: counts, row groups and links of its rows filled in."""
    rows = example(folder)
    # A layer of three parts: 2, 2 and 1 output channels.
    layer = next(row for row in rows.index_rows if row["layer_id"] == f"{A}#features.2.weight")
    layer["n_parts"] = 3
    rewrite(
        rows,
        layer["file"],
        lambda found: [part for row in found for part in in_parts(row, layer["layer_id"])],
    )
    first: dict[str, str] = {}
    for row in sorted(rows.index_rows, key=lambda row: str(row["layer_id"])):
        rank = sorted({key(other) for other in rows.index_rows if other["file"] == row["file"]})
        row["row_group"] = rank.index(key(row))
        twin = first.setdefault(row["layer_sha256"], row["layer_id"])
        row["duplicate_of"] = None if twin == row["layer_id"] else twin
    for model in rows.model_rows:
        layers = [row for row in rows.index_rows if row["model_id"] == model["model_id"]]
        if layers:
            model["layers_file"] = layers[0]["file"]
            model |= {"n_layers": len(layers), "tensors_emitted": len(layers), "tensors_skipped": 1}
    export(folder, rows)
    return rows


def in_parts(row: Row, layer_id: str) -> list[Row]:
    if row["layer_id"] != layer_id:
        return [row]
    weight = np.asarray(row["weight"], np.float32).reshape(row["shape"])
    parts = []
    for k, start in enumerate(range(0, len(weight), 8)):
        part = weight[start : start + 8]
        facts = {"part": k, "n_parts": 3, "out_start": start, "row_id": f"{layer_id}#part{k}"}
        facts |= {"shape": list(part.shape), "n_kernels": part.shape[0] * part.shape[1]}
        facts |= {"weight": part.ravel(), "weight_sha256": hashlib.sha256(part.tobytes()).hexdigest()}
        parts.append(row | facts)
    return parts


def key(row: Row) -> tuple[str, bool]:
    return row["kernel"], row["depthwise"]


def rewrite(rows: MemoryRows, path: str, change: Callable[[list[Row]], list[Row]], *, one_group: bool = False) -> None:
    """Change the rows of one file of layers and note its new hash, as if the crawl had written it so."""
    target = rows.folder / path
    changed = change(pq.read_table(target).to_pylist())
    with pq.ParquetWriter(target, LAYERS) as writer:
        groups: list[list[Row]] = []
        for row in changed:
            if groups and (one_group or key(groups[-1][-1]) == key(row)):
                groups[-1].append(row)
            else:
                groups.append([row])
        for group in groups:
            writer.write_table(pa.Table.from_pylist(group, schema=LAYERS))
    note(rows, path)


def note(rows: MemoryRows, path: str) -> None:
    data = (rows.folder / path).read_bytes()
    others = [file for file in rows.files if file[0] != path]
    rows.files = [*others, (path, len(data), hashlib.sha256(data).hexdigest())]


def file_of(rows: MemoryRows, model_id: str = A) -> str:
    return next(str(row["file"]) for row in rows.index_rows if row["model_id"] == model_id)


def wrong(folder: Path) -> list[str]:
    return [str(finding) for finding in verify_folder(folder)]


def only(folder: Path) -> str:
    (line,) = wrong(folder)
    return line


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> MemoryRows:
    return sound(tmp_path_factory.mktemp("sound") / "dataset")


@pytest.fixture
def rows(template: MemoryRows, tmp_path: Path) -> MemoryRows:
    return copy(template, tmp_path / "dataset")


def copy(rows: MemoryRows, folder: Path) -> MemoryRows:
    shutil.copytree(rows.folder, folder)
    return replace(deepcopy(rows), folder=folder)


def test_a_sound_dataset_has_no_findings(rows: MemoryRows) -> None:
    assert wrong(rows.folder) == []
    rows.forget(A)
    (rows.folder / next(rows.folder.glob("data/layers/local/*/*.parquet"))).unlink()
    for row in rows.index_rows:
        row["duplicate_of"] = None
    export(rows.folder, rows)
    assert wrong(rows.folder) == []


def test_an_empty_dataset_is_sound_but_for_its_list(tmp_path: Path) -> None:
    export(tmp_path, MemoryRows(tmp_path))
    assert all(line.startswith("data/files: is missing") for line in wrong(tmp_path))


def test_a_folder_that_is_no_dataset_is_wrong_usage(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DatasetError, match="no dataset here"):
            wrong(path)


# Sketches.


def test_a_dataset_without_sketches_is_sound(rows: MemoryRows) -> None:
    rows.sketched.clear()
    export(rows.folder, rows)
    assert wrong(rows.folder) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"n_kernels": 47}, "n_kernels is 47, data/index states 160"),
        ({"taps": 8}, "taps is 8"),
        ({"n_dead": 161}, "has 161 dead of 160 finite of 160 kernels"),
        ({"n_finite": 161}, "has 0 dead of 161 finite of 160 kernels"),
        (
            {"power_sums": [1439.0, 0.0, 0.0, 0.0, 0.0]},
            "counts [1439.0] finite weights, data/index has 1440",
        ),
        ({"histogram": [1] * 630}, "histogram counts 630 coefficients, not 1440"),
        ({"kernel": "1x9"}, "belongs to no stored layer of data/index"),
    ],
)
def test_a_sketch_that_contradicts_its_layer(rows: MemoryRows, changes: Row, what: str) -> None:
    content = next(row["layer_sha256"] for row in rows.index_rows if row["layer_id"] == f"{A}#features.2.weight")
    rows.sketched[content] |= changes
    export(rows.folder, rows)
    found = wrong(rows.folder)
    assert any(line.startswith(f"data/sketches/part.parquet: {content}") and what in line for line in found), found


def test_a_sketch_that_is_missing_and_one_twice(rows: MemoryRows) -> None:
    contents = sorted({row["layer_sha256"] for row in rows.index_rows if row["source"] == "packages"})
    twice = dict(rows.sketched[contents[0]])
    rows.sketched["zz"] = twice
    stored = [rows.sketched[content] for content in contents[:-1]] + [twice]
    rows.sketches = lambda layers: iter(stored)  # type: ignore[method-assign]
    export(rows.folder, rows)
    found = wrong(rows.folder)
    assert f"data/sketches/part.parquet: {contents[0]} {twice['kernel']}: is listed twice" in found
    assert sum("has no sketch" in line for line in found) >= 4
    assert all("sketch" in line for line in found)


def test_a_sketch_in_two_parts(rows: MemoryRows) -> None:
    listed = table(rows.folder, "sketches")
    other = "data/sketches/part-1.parquet"
    shutil.copyfile(rows.folder / "data/sketches/part.parquet", rows.folder / other)
    relist(rows.folder, other)
    twice = [f"{other}: {row['layer_sha256']} {row['kernel']}: is listed twice" for row in listed]
    found = [line for line in wrong(rows.folder) if "is listed twice" in line]
    assert sorted(found) in (sorted(twice), sorted(line.replace("part-1", "part") for line in twice))


# Files.


def test_a_file_of_checkpoints_that_contradicts_models(rows: MemoryRows) -> None:
    write_checkpoints(rows.folder)
    export(rows.folder, rows)
    assert wrong(rows.folder) == []
    table = pq.read_table(rows.folder / CHECKPOINTS)
    pq.write_table(table[1:], rows.folder / CHECKPOINTS)
    export(rows.folder, rows)
    assert only(rows.folder) == "data/checkpoints.parquet: has other rows than data/models"
    pq.write_table(table[1:].replace_schema_metadata({"models": "of other files"}), rows.folder / CHECKPOINTS)
    export(rows.folder, rows)
    assert wrong(rows.folder) == []  # a sync leaves it as the last version has it


def test_a_missing_a_grown_and_a_flipped_file(rows: MemoryRows) -> None:
    first, second = sorted(path for path, _, _ in rows.files)
    (rows.folder / first).unlink()
    flipped = bytearray((rows.folder / second).read_bytes())
    flipped[100] ^= 1
    (rows.folder / second).write_bytes(flipped)
    with (rows.folder / "data/samples/part.parquet").open("ab") as file:
        file.write(b"x")
    lines = wrong(rows.folder)
    assert len(lines) == 3
    assert f"{first}: is listed but missing" in lines
    assert any(line.startswith(f"{second}: has sha256 ") for line in lines)
    assert any(line.startswith("data/samples/part.parquet: has ") and " bytes, " in line for line in lines)


def test_a_file_that_is_not_listed(rows: MemoryRows) -> None:
    (rows.folder / "data/layers/local/extra.parquet").write_bytes(b"x")
    (rows.folder / "data/.hidden").write_bytes(b"x")
    assert only(rows.folder) == "data/layers/local/extra.parquet: is not listed in data/files"


def test_a_list_that_names_files_outside_or_twice(rows: MemoryRows, tmp_path: Path) -> None:
    listing = rows.folder / "data/files/part.parquet"
    (tmp_path / "secret").write_bytes(b"s")
    listed = pq.read_table(listing).to_pylist()
    bad = {"path": "../secret", "size": 1, "sha256": hashlib.sha256(b"s").hexdigest()}
    pq.write_table(pa.Table.from_pylist([*listed, listed[0], bad], schema=FILES), listing)
    lines = wrong(rows.folder)
    assert [line for line in lines if not line.startswith("manifest.json: states the root")] == [
        f"data/files: lists {listed[0]['path']!r}, which is unsafe or listed twice",
        "data/files: lists '../secret', which is unsafe or listed twice",
    ]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 400 + b"PAR1", b"no parquet at all" * 50])
def test_a_file_of_layers_that_is_no_parquet(rows: MemoryRows, content: bytes) -> None:
    path = file_of(rows)
    (rows.folder / path).write_bytes(content)
    note(rows, path)
    export(rows.folder, rows)
    assert only(rows.folder).startswith(f"{path}: is not a Parquet file: ")


@pytest.mark.parametrize("name", ["index", "models", "files", "samples"])
def test_a_table_that_is_no_parquet_or_has_another_schema(rows: MemoryRows, name: str) -> None:
    path = rows.folder / f"data/{name}/part.parquet"
    table = pq.read_table(path)
    for damaged, line in (
        (
            table.append_column("extra", pa.array([0] * len(table))),
            "has another schema than version 1: extra",
        ),
        (table.drop_columns([table.column_names[-1]]), "has another schema than version 1: "),
        (
            table.select(table.column_names[::-1]),
            "has another schema than version 1: the order of the columns",
        ),
        (table.slice(0, 0), "has no rows"),
        (None, "is not a Parquet file"),
    ):
        if damaged is None:
            path.write_bytes(b"PAR1")
        else:
            pq.write_table(damaged, path)
        about = "" if name == "files" else "has "
        found = [text for text in wrong(rows.folder) if text.startswith(f"data/{name}/part.parquet: {about}")]
        if name == "files":
            assert any(line in text for text in found)
        else:
            assert len(found) == 1  # another size or hash: what the file holds is then not looked at
            relist(rows.folder)
            assert any(text.startswith(f"data/{name}/part.parquet: {line}") for text in wrong(rows.folder))


def relist(folder: Path, *more: str) -> None:
    """Note the true sizes and hashes of all files, and of more of them, and leave the manifest behind."""
    for listing in files_of(folder, "files"):
        paths = [row["path"] for row in pq.read_table(listing).to_pylist()]
        listed = []
        for path in [*paths, *(more if listing.stem == "part" else ())]:
            data = (folder / path).read_bytes()
            listed.append({"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
        pq.write_table(pa.Table.from_pylist(listed, schema=FILES), listing)


def test_manifest(rows: MemoryRows) -> None:
    path = rows.folder / "manifest.json"
    stated = json.loads(path.read_text())
    path.write_text(json.dumps(stated | {"root": "0" * 64, "schema_version": 2}))
    lines = wrong(rows.folder)
    assert len(lines) == 2
    assert lines[0].startswith(f"manifest.json: states the root '{'0' * 64}'; that of the listed files")
    assert stated["root"] in lines[0]
    assert lines[1] == "manifest.json: states schema version 2; this filtercrawl checks 1"
    for text in ("{", "[" * 100_000, "3", "\x00"):
        path.write_text(text)
        assert only(rows.folder).startswith("manifest.json: ")
    path.unlink()
    assert only(rows.folder).startswith("manifest.json: cannot be read: No such file")


def test_card(rows: MemoryRows) -> None:
    card = rows.folder / "README.md"
    text = card.read_text()
    card.write_text(text.replace("config_name: ledger\n", "config_name: other\n"))
    lines = wrong(rows.folder)
    assert "README.md: does not name the config 'ledger'" in lines
    assert "README.md: names the config 'other', which has no file" in lines
    assert sum(line.startswith("manifest.json: states the root") for line in lines) == 1
    head, tail = text.split("dataset_info:", 1)
    card.write_text(head + "dataset_info:" + tail.replace("config_name: layers-local\n", "config_name: x\n"))
    assert "README.md: does not state the features of the config 'layers-local'" in wrong(rows.folder)
    card.write_text("---\n- [\n---\n")
    assert any("README.md: its header cannot be read" in line for line in wrong(rows.folder))
    card.unlink()
    assert only(rows.folder).startswith("README.md: cannot be read")


# Weights.


def damaged(rows: MemoryRows, change: Callable[[list[Row]], list[Row]], *, one_group: bool = False) -> list[str]:
    rewrite(rows, file_of(rows), change, one_group=one_group)
    export(rows.folder, rows)
    return wrong(rows.folder)


def on(layer: str, **facts: Any) -> Callable[[list[Row]], list[Row]]:
    """Change facts of the rows of a layer of the first checkpoint."""
    name = f"{A}#{layer}.weight"
    return lambda found: [row | facts if row["layer_id"] == name else row for row in found]


def test_one_bit_of_one_weight(rows: MemoryRows) -> None:
    def flip(found: list[Row]) -> list[Row]:
        row = next(row for row in found if row["layer_id"] == f"{A}#stem.weight")
        numbers = np.array(row["weight"], np.float32)
        numbers.view(np.uint32)[5] ^= 1
        row["weight"] = numbers
        return found

    lines = damaged(rows, flip)
    assert len(lines) == 2
    where = f"{file_of(rows)}: {A}#stem.weight"
    assert lines[0].startswith(f"{where}#part0: weight_sha256 is ")
    assert lines[1].startswith(f"{where}: layer_sha256 is ")


def test_a_nan_is_a_weight_like_any_other(rows: MemoryRows) -> None:
    row = next(row for row in rows.index_rows if row["layer_id"] == f"{A}#volume.weight")
    numbers = np.full(row["n_kernels"] * row["taps"], np.nan, np.float32)
    digest = {name: hashlib.sha256(numbers.tobytes()).hexdigest() for name in ("weight_sha256", "layer_sha256")}
    row |= digest | {"n_nonfinite": len(numbers)}
    rows.sketched[digest["layer_sha256"]] = {"layer_sha256": digest["layer_sha256"]} | sketch(
        numbers.reshape(row["shape"])
    )
    assert damaged(rows, on("volume", weight=numbers, **digest)) == []


def test_the_hash_of_a_layer_in_parts_is_of_all_parts_in_order(rows: MemoryRows) -> None:
    def swap(found: list[Row]) -> list[Row]:
        first, second = (
            i for i, row in enumerate(found) if row["layer_id"] == f"{A}#features.2.weight" and row["part"] < 2
        )
        for name in ("weight", "weight_sha256"):
            found[first][name], found[second][name] = found[second][name], found[first][name]
        return found

    (line,) = damaged(rows, swap)
    assert line.startswith(f"{file_of(rows)}: {A}#features.2.weight: layer_sha256 is ")


def test_a_part_that_is_missing_or_twice(rows: MemoryRows, template: MemoryRows) -> None:
    lines = damaged(rows, lambda found: [row for row in found if row["part"] != 1])
    assert any("#part2: is where part 1 of " in line for line in lines)
    assert any("#part2: starts at output channel 16, not 8" in line for line in lines)
    assert any("has (2, 12) (parts, output channels), its row states (3, 20)" in line for line in lines)
    lines = damaged(sound(rows.folder.parent / "twice"), lambda found: [row for row in found for _ in range(2)])
    assert any(line.endswith(f"{A}#volume.weight: is listed twice") for line in lines)


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"shape": [4, 3, 5]}, "holds 40 weights, its shape [4, 3, 5] has 60"),
        ({"kernel": "7"}, "kernel is '7', the rest of the row implies '5'"),
        ({"taps": 9}, "taps is 9, the rest of the row implies 5"),
        ({"n_kernels": 9}, "n_kernels is 9, the rest of the row implies 8"),
        ({"row_id": "x"}, "row_id is 'x', the rest of the row implies "),
        ({"groups": 2}, "groups is 2, data/index states 1"),
        ({"op": "conv_transpose1d"}, "op is 'conv_transpose1d', data/index states 'conv1d'"),
        ({"out_start": 3}, "starts at output channel 3, not 0"),
        ({"tensor": "y"}, "layer_id is "),
        ({"model_id": "local/other"}, "holds layers of 2 checkpoints: "),
    ],
)
def test_facts_that_contradict_the_weight_or_the_index(rows: MemoryRows, facts: Row, line: str) -> None:
    assert any(line in text for text in damaged(rows, on("encoder.1d", **facts)))


def test_layers_and_index_name_the_same(rows: MemoryRows, template: MemoryRows) -> None:
    where = f"{file_of(rows)}: {A}#stem.weight"
    lines = damaged(rows, lambda found: [row for row in found if row["layer"] != "stem"])
    assert lines == [f"data/index: {A}#stem.weight: is not in {file_of(rows)}, which its row names"]
    rows = copy(template, rows.folder.parent / "other")
    for row in rows.index_rows:
        if row["layer_id"] == f"{A}#stem.weight":
            row["file"] = "data/layers/local/00/none-00.parquet"
    export(rows.folder, rows)
    lines = wrong(rows.folder)
    assert f"{where}: has no row in data/index that names this file" in lines
    assert "data/index: names the file 'data/layers/local/00/none-00.parquet', which does not exist" in lines


def test_the_index_names_the_row_group(rows: MemoryRows) -> None:
    rows.index_rows[0]["row_group"] += 1
    export(rows.folder, rows)
    assert "row_group is " in only(rows.folder)


def test_rows_are_sorted_and_row_groups_do_not_mix(rows: MemoryRows, template: MemoryRows) -> None:
    lines = damaged(rows, lambda found: found, one_group=True)
    assert any(line.endswith("row group 0: mixes rows with different (kernel, depthwise)") for line in lines)
    rows = copy(template, rows.folder.parent / "other")
    lines = damaged(rows, lambda found: found[::-1])
    assert any("is not sorted by (kernel, depthwise)" in line for line in lines)


# Accounts.


def test_ids_are_unique(rows: MemoryRows) -> None:
    rows.model_rows.append(dict(rows.model_rows[0]))
    rows.index_rows.append(dict(rows.index_rows[0]))
    export(rows.folder, rows)
    lines = wrong(rows.folder)
    assert f"data/models: {A}: is listed 2 times" in lines
    assert f"data/index: {rows.index_rows[0]['layer_id']}: is listed 2 times" in lines


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"duplicate_of": "local/x"}, "is a duplicate of 'local/x', which does not exist"),
        ({"outcome": "fine"}, "has the unknown outcome 'fine'"),
        ({"name": "b"}, "does not consist of its source 'local' and name 'b'"),
        ({"layers_file": None}, "is emitted but names no layers file"),
        (
            {"layers_file": "data/layers/x.parquet"},
            "has its layers in 'data/layers/x.parquet', which is not listed",
        ),
        ({"n_layers": 4}, "n_layers is 4, data/index has 5"),
    ],
)
def test_models(rows: MemoryRows, facts: Row, line: str) -> None:
    rows.model_rows[0] |= facts
    export(rows.folder, rows)
    assert f"data/models: {A}: {line}" in wrong(rows.folder)


def test_layers_of_a_checkpoint_that_nobody_knows(rows: MemoryRows) -> None:
    path = rows.folder / "data/models/part.parquet"
    pq.write_table(pq.read_table(path, filters=[("model_id", "!=", A)]), path)
    relist(rows.folder)
    lines = wrong(rows.folder)
    assert f"data/index: has layers of {A!r}, which is not in data/models" in lines
    assert f"data/ledger: has tensors of {A!r}, which is not in data/models" in lines


def test_links_between_layers(rows: MemoryRows) -> None:
    twin = next(row for row in rows.index_rows if row["duplicate_of"] is not None)
    other = next(row for row in rows.index_rows if row["layer"] == "volume")
    for target, line in (("none", "which does not exist"), (other["layer_id"], "which has other weights")):
        twin["duplicate_of"] = target
        export(rows.folder, rows)
        assert line in only(rows.folder)


def test_a_layer_whose_weights_lie_nowhere(rows: MemoryRows) -> None:
    lonely = next(row for row in rows.index_rows if row["layer_id"] == f"{A}#volume.weight")
    lonely |= {"file": None, "row_group": None}
    export(rows.folder, rows)
    assert f"data/index: {A}#volume.weight: no file holds its weights" in wrong(rows.folder)


def test_a_duplicate_checkpoint_without_a_file_is_sound(rows: MemoryRows) -> None:
    twin = f"{A}.copy"
    for row in [row for row in rows.index_rows if row["model_id"] == A]:
        ids = {
            "model_id": twin,
            "layer_id": f"{twin}#{row['tensor']}",
            "row_id": f"{twin}#{row['tensor']}#part0",
        }
        first = row["duplicate_of"] or row["layer_id"]
        rows.index_rows.append(row | ids | {"file": None, "row_group": None, "duplicate_of": first})
        rows.ledger_rows["local"].append(
            {
                "model_id": twin,
                "tensor": row["tensor"],
                "shape": row["shape"],
                "dtype": "float32",
                "outcome": "emitted",
                "reason": None,
            }
        )
    rows.recipes[twin] = of_checkpoint(rows.recipes[A], twin, "local")
    model = dict(rows.model_rows[0])
    model |= {
        "model_id": twin,
        "name": twin.removeprefix("local/"),
        "outcome": "duplicate",
        "duplicate_of": A,
    }
    rows.model_rows.append(model | {"layers_file": None, "tensors_skipped": 0})
    export(rows.folder, rows)
    assert wrong(rows.folder) == []


def test_a_pointwise_layer_that_was_not_read_is_sound(rows: MemoryRows) -> None:
    row = dict(next(row for row in rows.index_rows if row["layer_id"] == f"{A}#stem.weight"))
    row |= {
        "layer_id": f"{A}#pw.weight",
        "row_id": f"{A}#pw.weight#part0",
        "tensor": "pw.weight",
        "layer": "pw",
    }
    row |= {"kernel": "1x1", "kernel_size": [1, 1], "taps": 1, "shape": [8, 3, 1, 1]}
    row |= dict.fromkeys(("file", "row_group", "weight_sha256", "layer_sha256", "duplicate_of"))
    rows.index_rows.append(row)
    line = {
        "tensor": "pw.weight",
        "shape": [8, 3, 1, 1],
        "dtype": "float32",
        "outcome": "skipped",
        "reason": "pointwise",
    }
    rows.ledger_rows["local"].append({"model_id": A, **line})
    rows.model_rows[0]["tensors_skipped"] += 1
    export(rows.folder, rows)
    assert wrong(rows.folder) == []


def test_a_ledger_that_does_not_balance(rows: MemoryRows) -> None:
    where = f"data/ledger: {A}"
    rows.model_rows[0]["tensors_skipped"] += 1
    export(rows.folder, rows)
    assert only(rows.folder) == f"{where}: has 1 skipped tensors, data/models states 2"
    rows.model_rows[0]["tensors_skipped"] -= 1
    ledger = rows.ledger_rows["local"]
    ledger[0] = ledger[0] | {"tensor": "none"}
    export(rows.folder, rows)
    assert only(rows.folder) == f"{where}#none: is emitted, data/index has no such layer"
    ledger[0] = dict(ledger[1])
    export(rows.folder, rows)
    assert only(rows.folder) == f"{where}#{ledger[1]['tensor']}: is listed 2 times"
    del ledger[0]
    export(rows.folder, rows)
    assert wrong(rows.folder) == [
        f"{where}: has 4 emitted tensors, data/models states 5",
        f"{where}: has 4 emitted tensors, data/index has 5",
    ]


@pytest.mark.parametrize(
    ("outcome", "reason"), [("emitted", "bias"), ("skipped", None), ("skipped", "moon"), ("lost", "bias")]
)
def test_words_of_the_ledger(rows: MemoryRows, outcome: str, reason: str | None) -> None:
    rows.ledger_rows["local"][-1] |= {"outcome": outcome, "reason": reason}
    export(rows.folder, rows)
    line = f"data/ledger: {A}: the outcome {outcome!r} with the reason {reason!r} is not in the vocabulary"
    assert line in wrong(rows.folder)


# The command.


def run(*arguments: str) -> tuple[int, str]:
    (command,) = filtercrawl_commands()
    assert command.name == "verify"
    app = typer.Typer()
    app.command(command.name)(command.run)
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_the_command_prints_a_line_a_finding(rows: MemoryRows) -> None:
    assert run(str(rows.folder)) == (0, f"{rows.folder}: sound\n")
    assert json.loads(run(str(rows.folder), "--json")[1]) == {
        "dataset": str(rows.folder),
        "sound": True,
        "findings": [],
    }
    (rows.folder / "data/new\nline\x1b[0m").write_bytes(b"")
    code, text = run(str(rows.folder))
    assert code == 1
    assert text == "data/new\\nline\\x1b[0m: is not listed in data/files\n"
    code, text = run(str(rows.folder), "--json")
    assert code == 1
    what = "is not listed in data/files"
    assert json.loads(text)["findings"] == [{"where": "data/new\nline\x1b[0m", "what": what}]
    assert json.loads(text)["sound"] is False


# Effective weights.


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"norm_eps": 0.5}, "its numbers do not have the effective_sha256 that it states"),
        ({"layer_sha256": "0" * 64}, "layer_sha256 is 000"),
        ({"layer_id": f"{A}#stem.weight"}, "effective_sha256 is "),
        ({"layer_id": "local/nobody#w"}, "belongs to no layer of data/index"),
        ({"terms": []}, "its first term is another layer"),
        ({"rest_kernel_size": [2, 2], "rest": [1.0]}, "the row of `effective` is damaged"),
    ],
)
def test_an_effective_row_that_contradicts_its_layer(rows: MemoryRows, changes: Row, what: str) -> None:
    (row,) = rows.recipes[A].to_pylist()
    rows.recipes[A] = pa.RecordBatch.from_pylist([row | changes], schema=EFFECTIVE)
    export(rows.folder, rows)
    found = wrong(rows.folder)
    assert any(line.startswith("data/effective/part.parquet: ") and what in line for line in found), found


def test_an_effective_row_that_is_missing_and_a_branch_of_nothing(rows: MemoryRows) -> None:
    (row,) = rows.recipes.pop(A).to_pylist()
    rows.index_rows[0]["merged_into"] = row["layer_id"]
    export(rows.folder, rows)
    found = wrong(rows.folder)
    assert f"data/index: {row['layer_id']}: has an effective_sha256, and no row in data/effective" in found
    assert any("merged_into is" in line and "data/effective has it in None" in line for line in found)
