"""Files that name good neighbors, and files and folders that are no files: they cost one line, never a neighbor."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from conftest import NOW, Sync
from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.errors import CheckpointError, UnsafeFileError
from filtercrawl.api.local_file import LocalFile, file_version, open_listed
from support.crafted_files import external
from support.zoo_files import layers, models, put, state


def index(**weight_map: str) -> bytes:
    return json.dumps({"weight_map": weight_map}).encode()


# By file name: files that name others as their parts.
THIEVES: dict[str, Callable[[], bytes]] = {
    "index.json": lambda: index(nosuch="good.safetensors"),
    "knowing.index.json": lambda: index(**dict.fromkeys(state(), "good.safetensors")),
    "partly.index.json": lambda: index(**{next(iter(state())): "good.safetensors"}),
    "broken.index.json": lambda: index(**dict.fromkeys(state(), "good.safetensors"), x="missing.safetensors"),
    "whole.index.json": lambda: index(nosuch="model.index.json"),
    "graph.onnx": lambda: external("good.safetensors"),
    "shard.onnx": lambda: external("1-of-2.safetensors"),
}


@pytest.fixture
def neighbors(zoo: Path) -> None:
    put(zoo / "good.safetensors", state())
    parts = {f"{part}-of-2.safetensors": f"{part}.weight" for part in (1, 2)}
    for path, name in parts.items():
        put(zoo / path, {name: torch.full((2, 3, 3, 3), 1.0)})
    (zoo / "model.index.json").write_bytes(index(**{name: path for path, name in parts.items()}))


@pytest.mark.usefixtures("neighbors")
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("thief", THIEVES)
def test_a_file_hides_no_other_by_naming_it(thief: str, known: bool, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    if known:
        run_sync()
    (zoo / thief).write_bytes(THIEVES[thief]())
    for _ in range(2):
        run_sync(prune=True)
        outcomes = {row["name"]: row["outcome"] for row in models(dataset).values()}
        assert outcomes.keys() == {"good.safetensors", "model.index.json", thief}
        assert outcomes["good.safetensors"] in ("emitted", "duplicate")
        assert outcomes["model.index.json"] == "emitted"
        stored = {key.partition("#")[2] for key in layers(dataset)}
        assert stored >= {
            "1.weight",
            "2.weight",
            *(name for name, weight in state().items() if weight.ndim == 4 and weight[0, 0].numel() > 1),
        }


@pytest.mark.usefixtures("neighbors")
def test_a_neighbor_that_cannot_be_read_for_a_day_is_not_taken(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    run_sync()
    (zoo / "graph.onnx").write_bytes(external("good.safetensors"))
    sound = (zoo / "good.safetensors").read_bytes()
    (zoo / "good.safetensors").write_bytes(sound[:-1])
    report = run_sync(prune=True)
    assert "local/good.safetensors" in report.failures
    assert report.checkpoints["removed"] == 0
    assert any(key.startswith("local/good.safetensors#") for key in layers(dataset))
    (zoo / "good.safetensors").write_bytes(sound)
    run_sync(prune=True, now=NOW + timedelta(days=1))
    assert models(dataset)["local/good.safetensors"]["outcome"] == "emitted"


def test_data_of_a_graph_that_cannot_be_read_is_seen(zoo: Path, run_sync: Sync) -> None:
    graph = external("weights.bin")
    (zoo / "net.onnx").write_bytes(graph)
    (zoo / "weights.bin").write_bytes(bytes(4 * 3 * 9 * 4))
    assert run_sync().failures == {}
    (zoo / "net.onnx").write_bytes(graph[:-9])
    assert "local/net.onnx" in run_sync().failures


def swap_for_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def swap_for_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def swap_for_link(path: Path) -> None:
    secret = path.parents[2] / "secret.safetensors"
    save_file({"secret.weight": torch.ones(2, 3, 3, 3)}, secret)
    path.unlink()
    path.symlink_to(secret)


def swap_for_linked_folder(path: Path) -> None:
    outside = path.parents[2] / "outside"
    path.parent.rename(outside)
    (outside / path.name).write_bytes(b"another")
    path.parent.symlink_to(outside)


SWAPS = {
    "pipe": (swap_for_pipe, "is no file but a folder, a pipe or a device"),
    "folder": (swap_for_folder, "is no file but a folder, a pipe or a device"),
    "link": (swap_for_link, "was replaced by a link that leaves its folder"),
    "linked folder": (swap_for_linked_folder, "was replaced by a link that leaves its folder"),
}


@pytest.mark.parametrize("what", SWAPS)
def test_what_is_put_in_the_place_of_a_listed_file_is_not_read(what: str, tmp_path: Path) -> None:
    swap, words = SWAPS[what]
    path = put(tmp_path / "zoo/a/net.safetensors", state())
    file = RemoteFile(url=path.as_uri(), etag=file_version(path.stat()), path="a/net.safetensors")
    with open_listed(file) as opened:
        assert opened.size > 0
    swap(path)
    with pytest.raises((CheckpointError, UnsafeFileError), match=words):
        open_listed(file)


def test_a_file_that_was_written_anew_is_read(tmp_path: Path) -> None:
    path = put(tmp_path / "zoo/a/net.safetensors", state())
    file = RemoteFile(url=path.as_uri(), etag=file_version(path.stat()), path="a/net.safetensors")
    path.unlink()
    put(tmp_path / "zoo/other.safetensors", state(1))
    path.symlink_to("../other.safetensors")
    with open_listed(file) as opened:
        assert opened.lies_in(tmp_path / "zoo")
        assert not opened.lies_in(tmp_path / "zoo/a")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300, "no"])
def test_a_name_that_no_file_can_have_is_one_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        LocalFile(tmp_path / name)


def test_pipes_links_and_odd_names_cost_one_line(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "good.safetensors", state())
    put(zoo / "checkpoint-5/model.safetensors", state(1))
    secret = zoo.parent / "secret.csv"
    secret.write_text("file_name,license\n*,mit\n")
    (zoo / "metadata.csv").symlink_to(secret)
    for pipe in ("pipe.pt", "checkpoint-5/trainer_state.json", "result.json"):
        os.mkfifo(zoo / pipe)
    cache = zoo / "models--org--net"
    (cache / "snapshots/abc").mkdir(parents=True)
    (cache / "refs").mkdir()
    os.mkfifo(cache / "refs/main")
    put(cache / "snapshots/abc/net.safetensors", state(2))
    (zoo / "loop").symlink_to("loop")
    (zoo / os.fsdecode(b"\xff\x1b[31m.pt")).write_bytes(b"")
    deep = zoo
    for _ in range(3):
        deep = deep / ("d" * 250)
    put(deep / f"{'n' * 240}.safetensors", state(3))
    report = run_sync()
    assert report.failures == {}
    rows = models(dataset).values()
    assert sum(row["outcome"] == "emitted" for row in rows) == 4
    assert {row["name"] for row in rows if row["outcome"] == "skipped"} == {
        "loop", "metadata.csv", r"\xff\x1b[31m.pt",
    }  # fmt: skip
    assert not any(row["license"] for row in rows)
