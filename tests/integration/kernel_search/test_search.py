"""Search in a dataset folder: neighbors as an independent search finds them, their ids, conditions, mistakes."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import filtercrawl
from conftest import Sync
from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl.dataset.tables.export import export
from filtercrawl.load.location import FolderLocation
from support.dataset_rows import example
from support.zoo_files import put


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("search") / "dataset"
    export(path, example(path))
    return path


def all_kernels(folder: Path, where: str = "kernel = '3x3'") -> dict[str, np.ndarray]:
    table = filtercrawl.load_layers(folder, where, ["layer_id"])
    weights = filtercrawl.to_tensors(table)
    return {
        f"{name}:{out}:{channel}": weight[out, channel].numpy()
        for name, weight in zip(table["layer_id"].to_pylist(), weights, strict=True)
        for out, channel in itertools.product(range(weight.shape[0]), range(weight.shape[1]))
    }


def test_neighbors_and_their_ids_are_those_of_an_independent_search(folder: Path) -> None:
    kernels = all_kernels(folder)
    query = np.random.default_rng(0).standard_normal((3, 3))
    found = filtercrawl.search(folder, query, k=5, metric="l2").neighbors.to_pylist()
    order = sorted(kernels, key=lambda name: float(((kernels[name].astype("f8") - query.astype("f4")) ** 2).sum()))
    assert [row["kernel_id"] for row in found] == order[:5]
    for row in found:
        assert row["values"] == kernels[row["kernel_id"]].flatten().tolist()
        assert row["distance"] == pytest.approx(np.linalg.norm(kernels[row["kernel_id"]] - query.astype("f4")))
        assert row["kernel_id"] == f"{row['layer_id']}:{row['out_channel']}:{row['in_channel']}"
        assert row["layer_id"].startswith(row["model_id"])


def test_a_kernel_of_the_dataset_finds_itself_by_its_id_and_by_that_of_its_row(folder: Path) -> None:
    name = random.Random(1).choice(sorted(all_kernels(folder)))
    layer, out, channel = name.rsplit(":", 2)
    row_id = f"{layer}#part0:{out}:{channel}"
    report = filtercrawl.search(folder, [name, row_id], k=1, metric="l2")
    assert report.neighbors["distance"].to_pylist() == [0, 0]
    assert report.neighbors["query"].to_pylist() == [0, 1]
    assert report.searched == len(all_kernels(folder))


def test_kernels_of_one_layer_read_it_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(all_kernels(folder, "depthwise and kernel = '3x3'"))[:4]
    assert len({name.rsplit(":", 2)[0] for name in names}) == 1
    opened: list[str] = []
    source = FolderLocation.source

    def noted(location: FolderLocation, path: str) -> Path:
        opened.append(path)
        return source(location, path)

    monkeypatch.setattr(FolderLocation, "source", noted)
    found = filtercrawl.search(folder, names, k=1, metric="l2").neighbors
    assert found["distance"].to_pylist() == [0] * 4
    assert max(Counter(opened).values()) == 2  # for what is searched for, and for the search


def test_one_change_that_does_not_count_needs_no_list(folder: Path) -> None:
    one, several = (filtercrawl.search(folder, np.eye(3), invariant=what).neighbors for what in ("sign", ["sign"]))
    assert one.equals(several)


def test_a_condition_chooses_layers(folder: Path) -> None:
    where = "depthwise"
    expected = all_kernels(folder, f"kernel = '3x3' and {where}")
    found = filtercrawl.search(folder, np.eye(3), k=10_000, where=where)
    assert sorted(found.neighbors["kernel_id"].to_pylist()) == sorted(
        name for name, kernel in expected.items() if kernel.any()
    )


def test_kernels_of_one_and_three_dimensions(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    one, three = torch.randn(4, 2, 3), torch.randn(2, 2, 2, 3, 3)
    put(zoo / "net.safetensors", {"a.weight": one, "b.weight": three, "c.weight": torch.randn(4, 2, 3, 3)})
    run_sync()
    found = filtercrawl.search(dataset, one[2, 1].clone().requires_grad_(), k=1)
    assert (found.kernel_size, found.searched) == ((3,), 8)
    assert found.neighbors["kernel_id"].to_pylist() == ["local/net.safetensors#a.weight:2:1"]
    every = filtercrawl.search(dataset, one, kernel="3", k=1, metric="l2", invariant=["flip"])
    assert every.neighbors["distance"].to_pylist() == [0] * 8
    volume = filtercrawl.search(dataset, three[1, 1], kernel="2x3x3", k=4)
    assert volume.neighbors["kernel_id"][0].as_py() == "local/net.safetensors#b.weight:1:1"
    assert filtercrawl.search(dataset, three[1, 1], k=1).neighbors.num_rows == 2  # two kernels of 3x3


@pytest.mark.parametrize(
    ("kernels", "options", "words"),
    [
        ("nonsense", {}, "'nonsense' is not the id of a kernel, layer_id:out:in"),
        ("a#b:0:0", {}, "the dataset has no kernel a#b:0:0"),
        (np.zeros((3, 3)), {}, "a kernel of zeros has no direction"),
        (np.full((3, 3), np.nan), {}, "not finite"),
        (np.full((3, 3), 1e200), {}, "not finite in float32"),
        (np.full((3, 3), 1j), {}, "complex numbers; kernels are real"),
        ([[1.0, 2.0], [3.0]], {}, "neither a kernel nor the id of one"),
        (np.ones((2, 3, 3)), {"kernel": "5x5"}, "are no kernels of 5x5, which have the shape [..., 5, 5]"),
        (np.ones(0), {}, "are no kernels"),
        (3.0, {}, "are no kernels"),
        ([["a"]], {}, "neither a kernel nor the id of one"),
        (np.ones((3, 3)), {"k": 0}, "k=0"),
        (np.ones((3, 3)), {"metric": "hamming"}, "there are cosine, l2"),
        (np.ones((3, 3)), {"invariant": ["shift"]}, "there are scale, sign, rotation, flip"),
        (np.ones((3, 3)), {"where": "tapz = 1"}, "index has no column 'tapz'; the nearest is taps"),
        (np.ones((3, 3)), {"device": "abacus"}, "abacus"),
        (np.ones((9, 8)), {}, "no kernels of 9x8; there are "),
        (np.ones(9), {}, "Rows of 9 numbers are kernels in the shape [n, 3, 3]"),
        (np.ones((2, 9)), {}, "no kernels of 2x9; there are "),
        (np.ones((2, 9)), {}, "Rows of 9 numbers are kernels in the shape [n, 3, 3]"),
        (np.ones((3, 3)), {"where": "false"}, "no kernels of 3x3 where false"),
    ],
)
def test_mistakes_are_named(folder: Path, kernels: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        filtercrawl.search(folder, kernels, **options)
    assert words in str(caught.value)


def test_the_report_escapes_text_and_shows_pictures(folder: Path) -> None:
    html = filtercrawl.search(folder, np.eye(3), k=2)._repr_html_()
    assert html.count("data:image/png;base64,") == 2
    assert "3x3 searched" in html


def test_the_command_prints_what_the_function_returns(folder: Path, plugins: Plugins, tmp_path: Path) -> None:
    np.save(tmp_path / "queries.npy", np.stack([np.eye(3), np.ones((3, 3))]))
    options = ["--dataset", str(folder), "-k", "2", "--invariant", "rotation", "--invariant", "sign"]
    answer = CliRunner().invoke(build(plugins), ["similar", str(tmp_path / "queries.npy"), *options, "--json"])
    assert answer.exit_code == 0, answer.output
    expected = filtercrawl.search(folder, np.load(tmp_path / "queries.npy"), k=2, invariant=["rotation", "sign"])
    assert json.loads(answer.stdout) == json.loads(json.dumps(expected.to_dict()))
    shown = CliRunner().invoke(build(plugins), ["similar", expected.neighbors["kernel_id"][0].as_py(), *options])
    assert shown.stdout.startswith(f"{expected.searched} kernels of 3x3 searched\n   1.000000  ")


def test_a_file_that_is_no_array_is_named(folder: Path, plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "text.py").write_text("print('no array')")
    (tmp_path / "empty.npy").touch()
    np.savez(tmp_path / "several.npz", np.ones((3, 3)))
    for name, words in (
        ("text.py", "text.py: is no .npy file of kernels, or is damaged"),
        ("empty.npy", "empty.npy: is no .npy file of kernels, or is damaged"),
        ("several.npz", "several.npz: is an archive of arrays; save one of them as a .npy file"),
        ("missing.npy", "missing.npy: cannot be read (No such file or directory)"),
    ):
        answer = CliRunner().invoke(build(plugins), ["similar", str(tmp_path / name), "--dataset", str(folder)])
        assert isinstance(answer.exception, UsageError)
        assert str(answer.exception).endswith(words)
