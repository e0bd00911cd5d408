"""Loading from a repo: the real clients against a Hub on loopback, in processes of their own, and little is fetched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from conftest import Sync
from support.hub.server import Asked, Fault, HubServer
from support.hub.types import Repo, sha256
from support.loading_dataset import loading_dataset
from support.loading_examples import CHECKS
from support.paths import TESTS
from support.zoo_files import put, table

pytestmark = pytest.mark.usefixtures("forked_children")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loading_dataset(tmp_path_factory.mktemp("loading"))


@pytest.fixture
def hub(folder: Path) -> Iterator[HubServer]:
    """A Hub whose `org/kernels` had the dataset at v1, and on main has lost the file of resnet18."""
    with HubServer() as server:
        repo = publish(server, "org/kernels", folder)
        repo.tags["v1"] = repo.head.sha
        server.append(repo, {name: data for name, data in repo.head.files.items() if "resnet18" not in name}, "next")
        yield server


def publish(hub: HubServer, repo_id: str, folder: Path) -> Repo:
    repo = hub.datasets[repo_id] = Repo(id=repo_id, commits=[])
    paths = [path for path in folder.rglob("*") if path.is_file() and ".filtercrawl" not in path.parts]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    hub.blobs.update({sha256(data): data for data in files.values()})
    hub.append(repo, files, "first")
    return repo


def python(hub: HubServer, home: Path, *arguments: str, fails: bool = False) -> str:
    """Run Python with this Hub and a cache of its own; returns what it printed, on stderr if it is to fail."""
    environment = {k: v for k, v in os.environ.items() if "OFFLINE" not in k} | {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)]),
    }  # fmt: skip
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=120, check=False)
    assert bool(done.returncode) == fails, done.stderr
    return done.stderr if fails else done.stdout


def of_layers(hub: HubServer) -> list[Asked]:
    """What was asked of the bytes of files of layers."""
    files = hub.datasets["org/kernels"].commits[0].files
    large = {sha256(data) for path, data in files.items() if path.startswith("data/layers/")}
    return [asked for asked in hub.log if asked.path.rpartition("/")[2] in large]


def length(asked: Asked) -> int:
    start, _, stop = asked.headers["range"].removeprefix("bytes=").partition("-")
    return int(stop) - int(start) + 1


@pytest.mark.exhaustive
def test_every_example_runs_over_a_hub(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    repo = hub.datasets["org/kernels"]
    del repo.commits[1:]
    printed = python(hub, tmp_path, "-W", "ignore::DeprecationWarning", "-W", "ignore::ResourceWarning",
                     "-m", "support.loading_examples", str(folder), "org/kernels")  # fmt: skip
    assert set(CHECKS) <= set(printed.splitlines())


def test_only_the_row_groups_that_match_are_fetched(
    hub: HubServer, zoo: Path, dataset: Path, run_sync: Sync, tmp_path: Path
) -> None:
    deep = {f"deep{k}.weight": torch.randn(16, 1, 7, 7) for k in range(3)}
    put(zoo / "net.safetensors", {"wide.weight": torch.randn(256, 256, 3, 3), **deep})
    put(zoo / "other.safetensors", {"other.weight": torch.randn(64, 64, 3, 3)})
    run_sync()
    publish(hub, "org/wide", dataset)
    code = f"""
from filtercrawl.load import to_flat_tensor, load_layers
t = load_layers("org/wide", "kernel = '7x7'")
assert t.equals(load_layers({str(dataset)!r}, "kernel = '7x7'"))
import filtercrawl
query = [[1.0] * int("7x7"[0])] * int("7x7"[0])
if len(t):
    near = [filtercrawl.search(place, query, k=2).neighbors for place in ("org/wide", {str(dataset)!r})]
    assert near[0].equals(near[1]) and near[0].num_rows == 2
print(len(to_flat_tensor(t["weight"])))
"""
    assert python(hub, tmp_path, "-c", code).strip() == str(3 * 16 * 49)
    asked = [request for request in hub.log if "range" in request.headers and request.path.startswith("/lfs/")]
    files = {request.path for request in asked}
    assert len(files) == 1
    assert len(asked) <= 6  # of the layers, and again of the search
    assert sum(length(request) for request in asked) < 300_000 < 2_000_000 < (dataset / file_of(dataset)).stat().st_size
    hub.forget()
    assert python(hub, tmp_path, "-c", code.replace("7x7", "9x9")).strip() == "0"
    assert not [request for request in hub.log if request.path.startswith("/lfs/")]  # the index is in the cache


def file_of(dataset: Path) -> str:
    (file,) = {row["file"] for row in table(dataset, "index") if row["layer"] == "wide"}
    return str(file)


def test_a_version_is_pinned_and_what_is_cached_is_not_asked_for(hub: HubServer, tmp_path: Path) -> None:
    code = """
import huggingface_hub
from filtercrawl.load import KernelDataset, load_layers, open_dataset
huggingface_hub.snapshot_download("org/kernels", repo_type="dataset", revision="v1", allow_patterns=["data/*"])
print(load_layers("org/kernels@v1", "architecture = 'resnet18'").num_rows)
print(sum(len(batch) for batch in KernelDataset("org/kernels", "7x7", revision="v1")))
dataset = open_dataset("org/kernels", revision="v1")
print(dataset.revision, dataset.models().num_rows, dataset.kernels("7x7").n_kernels, dataset.info.counts["layers"])
"""
    first = hub.datasets["org/kernels"].tags["v1"]
    assert python(hub, tmp_path, "-c", code).split() == ["3", "32", first, "4", "32", "12"]
    assert not [request for request in of_layers(hub) if "range" in request.headers]
    missing = python(
        hub, tmp_path, "-c", "from filtercrawl.load import load_layers; load_layers('org/kernels')", fails=True
    )
    assert "NotFoundError: org/kernels@" in missing.splitlines()[-1]


def test_what_goes_wrong_on_the_way_is_tried_again(hub: HubServer, tmp_path: Path) -> None:
    hub.fail("*/lfs/*", Fault(status=503), Fault(status=500))
    hub.fail("*/resolve/*", Fault(status=503))
    code = "from filtercrawl.load import load_layers; print(load_layers('org/kernels@v1', 'depthwise').num_rows)"
    assert python(hub, tmp_path, "-c", code).strip() == "2"


def test_what_is_not_there_is_told(hub: HubServer, tmp_path: Path) -> None:
    for root in ("org/other", "org/kernels@v9"):
        told = python(
            hub, tmp_path, "-c", f"from filtercrawl.load import load_layers; load_layers({root!r})", fails=True
        )
        assert told.splitlines()[-1].startswith("filtercrawl.api.errors.NotFoundError: " + root)


def test_offline_a_repo_that_is_not_cached_is_told(hub: HubServer, tmp_path: Path) -> None:
    code = "import os; os.environ['HF_HUB_OFFLINE'] = '1'\n"
    code += "from filtercrawl.load import load_layers; load_layers('org/kernels')"
    told = python(hub, tmp_path, "-c", code, fails=True).splitlines()[-1]
    assert told.startswith("filtercrawl.api.errors.NetworkError: org/kernels@main")
    assert "cannot be reached, and the file is not in the cache" in told
    assert hub.log == []


def test_without_a_network_one_line_tells_so_soon(hub: HubServer, tmp_path: Path) -> None:
    code = """
import os, sys, time
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:1"
from filtercrawl.cli.app import main
sys.argv = ["filtercrawl", "explore", "--no-browser", "--dataset", "hub:org/kernels"]
main()
"""
    started = time.monotonic()
    (told,) = python(hub, tmp_path, "-c", code, fails=True).splitlines()
    assert told.startswith("error: org/kernels@main (no folder here): the Hub cannot be reached")
    assert time.monotonic() - started < 15


def test_without_a_network_what_is_cached_is_read(hub: HubServer, tmp_path: Path) -> None:
    code = "from filtercrawl.load import open_dataset; print(open_dataset('org/kernels').revision)"
    head = python(hub, tmp_path, "-c", code)
    assert head.strip() == hub.datasets["org/kernels"].head.sha
    away = "import os; os.environ['HF_ENDPOINT'] = 'http://127.0.0.1:1'\n"
    assert python(hub, tmp_path, "-c", away + code) == head
