"""Memory is bounded by one part of a layer, not by the checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from support.http_server import Answer, Asked, FileServer
from support.large_checkpoint import generate
from support.sharded_checkpoint import generate_sharded

# 5 is the size that the project promises; by hand, for it takes a minute.
GIGABYTES = float(os.environ.get("FILTERCRAWL_TEST_GB", "0.3"))
LIMIT = 300_000_000
# Requests under way hold a piece each, and threads of their own some more.
FAR = 150_000_000
# What numba itself takes, where it is installed: it is imported with the first large layer.
NUMBA = 130_000_000 if find_spec("numba") else 0

# Imports first, then the peak of resident memory above them, sampled each 5 ms.
MEASURED = """
import sys, threading, time
from pathlib import Path

import httpx2, numpy, pyarrow.parquet, torch
from filtercrawl.api import Checkpoint, RemoteFile
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.sync import SyncContext, sync

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

plugins, before = load_plugins(), resident()
peak, stop = before, threading.Event()

def watch():
    global peak
    while not stop.wait(0.005):
        peak = max(peak, resident())

watcher = threading.Thread(target=watch)
watcher.start()
place, dataset = sys.argv[1:]

class Far:  # the same file behind a server
    name = "far"

    def checkpoints(self, transport, query):
        yield Checkpoint(name="net", revision="1", files=(RemoteFile(url=place, path="net.safetensors"),))

vars(plugins).update(sources={**plugins.sources, "far": Far()}, origin={**plugins.origin, "far": "far"})
selector = "far" if place.startswith("http") else f"local:{place}"
settings = Settings(dataset=Path(dataset), device="cpu", engine="threads")
report = sync([selector], SyncContext(settings=settings, plugins=plugins))
stop.set()
watcher.join()
assert not report.failures, report.failures
print(report.layers, peak - before)
"""


def part(path: Path, asked: Asked) -> Answer:
    """Answer a request for a range from a file, of which no more is read."""
    size, etag = path.stat().st_size, {"ETag": '"1"'}
    start, stop = (int(number) for number in asked.headers["range"].removeprefix("bytes=").split("-"))
    stop = min(stop + 1, size)
    with path.open("rb") as file:
        file.seek(start)
        body = file.read(stop - start)
    return Answer(status=206, headers=etag | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}, body=body)


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")
@pytest.mark.parametrize("far", [False, True], ids=["local", "remote"])
def test_a_large_checkpoint_takes_little_memory(tmp_path: Path, far: bool) -> None:
    (tmp_path / "zoo").mkdir()
    path = tmp_path / "zoo/net.safetensors"
    n_layers = generate(path, GIGABYTES * 1e9)
    with FileServer() as server:
        place = server.on("/net", lambda asked: part(path, asked)) if far else str(path.parent)
        command = [sys.executable, "-c", MEASURED, place, str(tmp_path / "dataset")]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    path.unlink()
    assert int(answer[0]) == n_layers
    assert int(answer[1]) < LIMIT + NUMBA + FAR * far


# The peak of a sync above what is resident after another one, of a small checkpoint, which imports all that is needed.
COUNTED = """
import sys
from pathlib import Path

import filtercrawl

def memory(what):
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status[what].split()[0])

zoo, small, dataset, jobs = sys.argv[1:]
filtercrawl.sync(f"local:{small}", dataset=f"{dataset}.small", device="cpu", engine="threads", progress=False)
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = memory("VmRSS")
chosen = {"device": "cpu", "engine": "threads", "jobs": int(jobs), "progress": False}
report = filtercrawl.sync(f"local:{zoo}", dataset=dataset, **chosen)
assert not report.failures, report.failures
print(report.layers, memory("VmHWM") - before)
"""


def counted(folder: Path, *, jobs: int) -> tuple[int, int]:
    """Sync the folder `zoo` in a process of its own; return the layers, and the bytes at the peak."""
    (folder / "small").mkdir()
    save_file({"conv.weight": torch.ones(128, 64, 3, 3)}, folder / "small/net.safetensors")
    places = [str(folder / name) for name in ("zoo", "small", "dataset")]
    command = [sys.executable, "-c", COUNTED, *places, str(jobs)]
    layers, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(layers), int(peak)


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")
@pytest.mark.parametrize("seed", [0, 1])
def test_shards_with_tensors_in_any_order_take_little_memory(tmp_path: Path, seed: int) -> None:
    """A layer is read when it is written, whatever shard it is in, and wherever there."""
    (tmp_path / "zoo").mkdir()
    n_layers = generate_sharded(tmp_path / "zoo", GIGABYTES * 1e9, GIGABYTES * 1e8, seed)
    layers, peak = counted(tmp_path, jobs=4)
    assert layers == n_layers
    assert peak < LIMIT
