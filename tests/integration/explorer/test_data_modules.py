"""The modules by which the page reads a dataset, in node: they read what pyarrow reads, and select what pandas does."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.dataset.schema.arrow import INDEX
from filtercrawl.dataset.tables.export import export
from filtercrawl_analysis.explorer.explore import open_explorer
from filtercrawl_analysis.explorer.page import page_files
from support.dataset_rows import MemoryRows

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed; the browser tests remain")

LAYERS = (("conv1", (8, 3, 3, 3), 1), ("dw", (16, 1, 5, 5), 16), ("line", (4, 2, 7), 1), ("volume", (3, 2, 2, 3, 3), 1))
MEASURES = ("sparsity", "orthogonality", "variance_entropy", "conv_depth_norm")


@dataclass
class Node:
    """A process of node with the page's modules."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, url: str) -> Self:
        modules = page_files()["js/main.js"].parent
        script = Path(__file__).with_name("read_dataset.mjs")
        command = ["node", str(script), str(modules), url]
        return cls(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            assert self.process.stdin
            self.process.stdin.close()

    def ask(self, method: str, *arguments: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]


@dataclass
class Opened:
    """A dataset, the page's modules on it, and its index."""

    folder: Path
    node: Node
    index: list[dict[str, Any]]

    @property
    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.index)


def write_dataset(folder: Path) -> None:
    """Write twelve checkpoints of three versions in several parts, with unknown values and small row groups."""
    random_ = random.Random(0)
    rows = MemoryRows(folder, part_rows=12)
    for number in range(12):
        rows.add(f"local/net{number:02d}-é.pt" if number % 3 else f"local/net{number:02d}.pt", LAYERS)
    for number, row in enumerate(rows.index_rows):
        for name in MEASURES:
            row[name] = None if random_.random() < 0.2 else random_.choice([0.0, 0.25, random_.random()])
        row["task"] = random_.choice([None, "image-classification", "image-segmentation"])
        row["training_datasets"] = random_.choice([None, [], ["imagenet-1k"], ["imagenet-22k", "imagenet-1k"]])
        row["conv_depth"] = number % 7 or None
        if number % 5 == 4:  # the same weights as another checkpoint, which stores them
            row |= {"row_group": None, "duplicate_of": row["layer_id"]}
    releases = ("v1.8", "v1.9", "v1.10")
    for row in rows.model_rows:
        row["first_release"] = releases[sum(row["model_id"] >= bound for bound in ("local/net03", "local/net07"))]
    export(folder, rows)
    for path in files_of(folder, "index"):
        words = ["op", "task", "kernel"]
        pq.write_table(pq.read_table(path), path, row_group_size=5, compression="zstd", use_dictionary=words)
    assert len(files_of(folder, "samples")) == len(files_of(folder, "index")) > 3
    write_analyses(folder, DatasetFolder(folder).table("index"))


def write_analyses(folder: Path, index: pa.Table) -> None:
    """Write a table with a row a layer, in another order and not for all, and one with a row a kernel."""
    names = index["layer_id"].to_pylist()
    layers = names[::-2]
    tables = folder / "analysis/tables"
    tables.mkdir(parents=True)
    quality = {"layer_id": layers, "verdict": ["healthy" if len(name) % 2 else None for name in layers]}
    pq.write_table(
        pa.table({**quality, "kurtosis": [float(len(name)) for name in layers]}), tables / "layer_quality.parquet"
    )
    forms = {"layer_id": [names[0], names[0], names[3], names[3]], "form": ["gabor", "neither", None, "gabor"]}
    pq.write_table(pa.table(forms), tables / "form_kernels.parquet")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder = tmp_path_factory.mktemp("explorer") / "dataset"
    write_dataset(folder)
    with open_explorer(folder) as server, Node.start(server.url) as node:
        yield Opened(folder, node, DatasetFolder(folder).table("index").to_pylist())


def samples(folder: Path) -> list[dict[str, Any]]:
    return list(DatasetFolder(folder).rows("samples"))


def as_shown(value: Any) -> Any:
    """A truth value is a category; an unknown list is an empty one."""
    return str(value).lower() if isinstance(value, bool) else value


def test_every_column_is_what_pyarrow_reads(opened: Opened) -> None:
    columns = {column["name"]: column["kind"] for column in opened.node.ask("columns")}
    assert list(columns) == INDEX.names
    for name, kind in columns.items():
        expected = [as_shown(row[name]) for row in opened.index]
        if kind == "list":
            expected = [value or [] for value in expected]
        assert opened.node.ask("values", name) == expected, name


def test_rows_are_what_pyarrow_reads(opened: Opened) -> None:
    rows = (5, 0, 4, len(opened.index) - 1, 5)
    expected = [
        {name: [] if value is None and name in LISTS else value for name, value in opened.index[row].items()}
        for row in rows
    ]
    assert opened.node.ask("layers", rows) == expected
    assert opened.node.ask("layers", [5, 0], ["layer"]) == [{"layer": opened.index[row]["layer"]} for row in (5, 0)]


LISTS = [field.name for field in INDEX if pa.types.is_list(field.type)]


def test_samples_of_every_layer_are_found_without_an_index(opened: Opened) -> None:
    stored = samples(opened.folder)
    by_layer: dict[str, list[dict[str, Any]]] = {}
    for kernel in stored:
        by_layer.setdefault(kernel["layer_id"], []).append(kernel)
    order = list(range(len(opened.index)))
    random.Random(1).shuffle(order)
    for row in order:
        found = opened.node.ask("samples", row)
        expected = by_layer.get(opened.index[row]["layer_id"], [])
        assert found["ids"] == [kernel["kernel_id"] for kernel in expected]
        assert found["values"] == [value for kernel in expected for value in kernel["values"]]
        assert np.prod(found["size"]) == opened.index[row]["taps"]
    assert sum(len(group) for group in by_layer.values()) == len(stored)


def test_what_could_not_be_read_is_read_again(opened: Opened, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(opened.folder, tmp_path / "dataset"))
    files = {path: path.read_bytes() for path in folder.glob("data/samples/*.parquet")}
    for path, content in files.items():
        path.write_bytes(bytes(len(content)))
    with open_explorer(folder) as server, Node.start(server.url) as node:
        with pytest.raises(RuntimeError, match="this is no Parquet file"):
            node.ask("samples", 0)
        for path, content in files.items():
            path.write_bytes(content)
        assert node.ask("samples", 0) == opened.node.ask("samples", 0)


def test_the_first_screen_has_the_first_stored_layers(opened: Opened) -> None:
    stored = [row for row, layer in enumerate(opened.index[:5]) if layer["row_group"] is not None]
    assert opened.node.ask("head", ["layer", "kernel"]) == stored


def test_models_and_layers_are_found_by_their_ids(opened: Opened) -> None:
    for model in DatasetFolder(opened.folder).rows("models", ["model_id", "name"]):
        assert opened.node.ask("model", model["model_id"])["name"] == model["name"]
    assert opened.node.ask("model", "local/other") is None
    assert [opened.node.ask("rowOf", row["layer_id"]) for row in opened.index] == list(range(len(opened.index)))
    assert opened.node.ask("rowOf", "other") == -1


def test_analyses_are_joined_by_layer(opened: Opened) -> None:
    table = pq.read_table(opened.folder / "analysis/tables/layer_quality.parquet").to_pylist()
    by_layer = {row["layer_id"]: row for row in table}
    for name in ("verdict", "kurtosis"):
        expected = [by_layer.get(row["layer_id"], {}).get(name) for row in opened.index]
        assert opened.node.ask("values", f"layer_quality.{name}") == expected
    forms = opened.node.ask("values", "form_kernels.form")
    assert (forms[0], forms[3]) == (["gabor", "neither"], ["gabor"])
    assert not any(value for row, value in enumerate(forms) if row not in (0, 3))
    names = [column["name"] for column in opened.node.ask("layerTables")]
    assert names == ["layer_quality.verdict", "layer_quality.kurtosis", "form_kernels.form"]
    assert opened.node.ask("table", "layer_quality") == table
    assert opened.node.ask("table", "other") is None
    with pytest.raises(RuntimeError, match=r"This dataset has no analysis/tables/other\.parquet"):
        opened.node.ask("values", "other.column")


def passes(column: pd.Series[Any], values: list[str]) -> pd.Series[bool]:
    """Tell which rows have one of the values of a filter."""
    result = pd.Series(False, index=column.index)
    for value in values:
        if value == "":
            result |= column.isna()
        elif ".." in value:
            low, high = value.split("..")
            result |= column.between(float(low or "-inf"), float(high or "inf"))
        else:
            result |= column == value
    return result


def pandas_rows(frame: pd.DataFrame, parameters: list[tuple[str, str]]) -> list[int]:
    """Select and sort as the documentation of the page says, with pandas."""
    given: dict[str, list[str]] = {}
    for name, value in parameters:
        given.setdefault(name, []).append(value)
    chosen = frame if "all" in given else frame[frame["row_group"].notna()]
    for word in given.get("q", [""])[0].lower().split():
        chosen = chosen[chosen["layer_id"].str.lower().str.contains(word, regex=False)]
    for name, values in given.items():
        if name.startswith("f."):
            chosen = chosen[passes(chosen[name.removeprefix("f.")], values)]
    if "brush" in given:
        x0, x1, y0, y1 = given["brush"][0].split(",")
        for name, bounds in ((given["x"][0], f"{x0}..{x1}"), (given["y"][0], f"{y0}..{y1}")):
            chosen = chosen[passes(chosen[name], [bounds])]
    if "sort" in given:
        name = given["sort"][0].removeprefix("-")
        ascending = not given["sort"][0].startswith("-")
        chosen = chosen.sort_values(name, ascending=ascending, kind="stable", na_position="last")
    return [int(row) for row in chosen.index]


def some_search(random_: random.Random) -> list[tuple[str, str]]:
    """Draw parameters of an address."""
    low, high = sorted(round(random_.random(), 2) for _ in range(2))
    measures = list(MEASURES)
    random_.shuffle(measures)
    sorted_by = random_.choice([*measures, "kernel", "task", "conv_depth", "duplicate_of"])
    offered = [
        [("f.kernel", "3x3")],
        [("f.kernel", "3x3"), ("f.kernel", "7"), ("f.kernel", "9x9")],
        [("f.task", ""), ("f.task", "image-segmentation")],
        [("f.task", "image-classification")],
        [(f"f.{measures[0]}", f"{low}..{high}")],
        [(f"f.{measures[1]}", f"..{high}"), (f"f.{measures[1]}", "")],
        [(f"f.{measures[1]}", f"{low}..")],
        [("q", random_.choice(["net0", "NET1 conv1", "é dw", "nothing like it", " "]))],
        [("all", "1")],
        [("sort", random_.choice(["", "-"]) + sorted_by)],
        [("x", measures[0]), ("y", measures[1]), ("brush", f"{low},{high},0,{high}")],
    ]
    return [pair for pairs in random_.sample(offered, random_.randint(0, 4)) for pair in pairs]


def test_selections_are_those_of_pandas(opened: Opened) -> None:
    random_ = random.Random(2)
    sizes = set()
    for _ in range(150):
        parameters = some_search(random_)
        rows = opened.node.ask("select", f"?{urlencode(parameters)}")
        assert rows == pandas_rows(opened.frame, parameters), parameters
        sizes.add(len(rows))
    assert len(sizes) > 10


def test_a_filter_on_lists_takes_layers_with_any_of_the_values(opened: Opened) -> None:
    rows = opened.node.ask("select", "?all=1&f.training_datasets=imagenet-22k&f.training_datasets=")
    lists = [row["training_datasets"] for row in opened.index]
    assert rows == [row for row, value in enumerate(lists) if not value or "imagenet-22k" in value]


def test_counts_of_values_add_up(opened: Opened) -> None:
    for name in ("task", "kernel", "training_datasets"):
        counts = {option["value"]: option["count"] for option in opened.node.ask("counts", name, "?all=1")}
        expected: dict[str, int] = {}
        for row in opened.index:
            for value in row[name] or [""] if isinstance(row[name], list | None) else [row[name]]:
                expected[value] = expected.get(value, 0) + 1
        assert counts == expected
        assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_a_kernel_that_is_not_finite_has_no_neighbors(opened: Opened, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(opened.folder, tmp_path / "dataset"))
    path = files_of(folder, "samples")[0]
    table = pq.read_table(path)
    first = table.slice(0, 1).to_pylist()[0]
    values = [[float("nan"), *first["values"][1:]], *table["values"].to_pylist()[1:]]
    place = table.schema.get_field_index("values")
    table = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
    pq.write_table(table, path, compression="zstd")
    refused = pytest.raises(RuntimeError, match="not finite")
    with open_explorer(folder) as server, Node.start(server.url) as node, refused:
        node.ask("similar", first["kernel_id"], {}, "")


def images(kernel: np.ndarray, invariant: list[str]) -> list[np.ndarray]:
    """What a kernel becomes by the changes, with NumPy."""
    turned = [kernel]
    if "rotation" in invariant:
        square = kernel.shape[0] == kernel.shape[1]
        turned = [np.rot90(kernel, turns) for turns in (range(4) if square else (0, 2))]
    if "flip" in invariant:
        turned += [image[:, ::-1] for image in turned]
    return turned + ([-image for image in turned] if "sign" in invariant else [])


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("invariant", [[], ["sign"], ["rotation"], ["flip"], ["scale"], ["sign", "rotation", "flip"]])
@pytest.mark.parametrize("size", ["3x3", "7"])
def test_neighbors_among_the_samples_are_those_of_numpy(
    opened: Opened, metric: str, invariant: list[str], size: str
) -> None:
    kernels: dict[str, np.ndarray] = {}
    for row in samples(opened.folder):
        if row["kernel"] == size:
            shape = (3, 3) if size == "3x3" else (1, 7)
            kernels[row["kernel_id"]] = np.array(row["values"], np.float64).reshape(shape)
    query = sorted(kernels)[17]

    def score(kernel: np.ndarray) -> float:
        best = -np.inf
        for image in images(kernels[query], invariant):
            a, b = image, kernel
            if metric == "cosine" or "scale" in invariant:
                a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
            best = max(best, float((a * b).sum()) if metric == "cosine" else -float(np.linalg.norm(a - b)))
        return best

    expected = sorted((score(kernel) for kernel in kernels.values()), reverse=True)[:10]
    found = opened.node.ask("similar", query, {"k": 10, "metric": metric, "invariant": invariant}, "")
    sign = 1 if metric == "cosine" else -1
    assert [sign * each["similarity"] for each in found["neighbors"]] == pytest.approx(expected, abs=1e-7)
    assert found["neighbors"][0]["id"] == query
    assert f"{len(kernels):,} sampled kernels" in found["searched"]
