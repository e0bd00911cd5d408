"""Fetching goes on beside the writing, ends when the run is to end, and starts again where it was killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save
from threadpoolctl import threadpool_info, threadpool_limits

from conftest import NOW
from filtercrawl.api import LayerSummary
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from support.http_server import Answer, Asked, Fault, FileServer, ranged
from support.hub.server import HubServer
from support.paths import TESTS
from support.plugins import BUNDLED, AcmeZoo, entry
from support.zoo_files import layers, models, state


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


def listing(server: FileServer, files: Mapping[str, bytes]) -> str:
    rows = []
    for name, data in files.items():
        known = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "path": name}
        rows.append({"name": name, "files": [{"url": server.put(f"/{name}", data), **known}]})
    return server.pages("/index", [rows])


def crawl(
    monkeypatch: pytest.MonkeyPatch, index: str, dataset: Path, run: Callable[[SyncContext], None] = lambda run: None,
    hooks: Mapping[str, Callable[[], Any]] | None = None, **chosen: Any,
) -> SyncReport:  # fmt: skip
    mine = entry(monkeypatch, "acme", filtercrawl_sources=lambda: iter([AcmeZoo(index)]))
    others = [entry(monkeypatch, f"acme_{hook}", **{hook: function}) for hook, function in (hooks or {}).items()]
    made = SyncContext(
        settings=Settings(**{"dataset": dataset, "device": "cpu", **chosen}),
        plugins=load_plugins([*BUNDLED, mine, *others]),
        now=NOW,
    )
    run(made)
    return sync(["acme"], made)


def test_the_next_checkpoint_is_fetched_while_one_is_written(
    server: FileServer, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A measure holds the first one up until the server has seen the others; one at a time would never end."""
    files = {f"{i}.safetensors": save(state(i, width=300)) for i in range(3)}
    index = listing(server, files)
    seen: list[bool] = []
    writing = threading.Lock()
    at_once: list[int] = []

    class Patient:
        name = "patient"
        columns = ()

        def start(self, layer: LayerSummary) -> Patient:
            return self

        def update(self, weight: torch.Tensor) -> None:
            at_once.append(writing.acquire(blocking=False))
            until = time.monotonic() + 20
            while not all(server.asked(f"/{name}") for name in files) and time.monotonic() < until:
                time.sleep(0.01)
            seen.append(all(server.asked(f"/{name}") for name in files))
            writing.release()

        def finish(self) -> Mapping[str, float | int | None]:
            return {}

    report = crawl(
        monkeypatch, index, dataset, hooks={"filtercrawl_measures": lambda: iter([Patient()])}, jobs=1
    )  # fmt: skip
    assert report.failures == {}
    assert all(seen)
    assert all(at_once)  # and yet one at a time is written


def test_measures_side_by_side_do_not_wait_for_threads_of_each_other(
    server: FileServer, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def threads() -> list[int]:
        found: list[int] = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        return found

    class Counting:
        name = "counting"
        columns = ()

        def start(self, layer: LayerSummary) -> Counting:
            return self

        def update(self, weight: torch.Tensor) -> None:
            seen.extend((*threads(), torch.get_num_threads()))

        def finish(self) -> Mapping[str, float | int | None]:
            return {}

    index = listing(server, {"net.safetensors": save(state(1))})
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        crawl(monkeypatch, index, dataset, hooks={"filtercrawl_measures": lambda: iter([Counting()])})
        assert threads() == before  # those of whoever called
    assert len(seen) > 1
    assert set(seen) == {1}


def test_a_run_that_is_stopped_ends_soon_and_cleanly(
    server: FileServer, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = save(state(1, width=3000))  # 36 MB, of which a tenth of a second brings a megabyte
    index = listing(server, {"large.safetensors": data})
    asked = threading.Event()

    def slow(request: Asked) -> Answer:
        if request.headers.get("range", "") != "bytes=0-65535":
            asked.set()
            time.sleep(0.3)
        return ranged(request, data, {"ETag": '"1"'})

    server.on("/large.safetensors", slow)
    started = time.monotonic()

    def stop(run: SyncContext) -> None:
        threading.Thread(target=lambda: (asked.wait(20), run.cancellation.cancel())).start()

    report = crawl(monkeypatch, index, dataset, stop)
    assert asked.is_set()
    assert time.monotonic() - started < 15
    assert (report.failures, report.n_left) == ({}, 1)
    assert not list((dataset / ".filtercrawl/tmp").glob(".*"))
    assert not (dataset / "data/layers").exists()
    again = crawl(monkeypatch, index, dataset)
    assert (again.failures, again.n_left) == ({}, 0)
    assert layers(dataset).keys() == {f"acme/large.safetensors#{name}.weight" for name in ("stem", "deep")}


KILLED = """
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

sys.path.insert(0, sys.argv[3])
from filtercrawl.api import hookimpl
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.sync import SyncContext, sync
from support.plugins import BUNDLED, AcmeZoo

plugin = ModuleType("plugin_acme")
plugin.filtercrawl_sources = hookimpl(lambda: iter([AcmeZoo(sys.argv[1])]))
sys.modules["plugin_acme"] = plugin
mine = EntryPoint(name="acme", value="plugin_acme", group="filtercrawl.sources")
settings = Settings(dataset=Path(sys.argv[2]), device="cpu")
plugins = load_plugins([*BUNDLED, mine])
report = sync(["acme"], SyncContext(settings=settings, plugins=plugins))
print(report.bytes_fetched, report.layers)
"""


def test_a_killed_run_does_not_fetch_again_what_it_has(server: FileServer, dataset: Path) -> None:
    tensors = {
        f"{i:02}.weight": torch.randn(512, 512, 3, 3, generator=torch.Generator().manual_seed(i)) for i in range(8)
    }
    data = save(tensors)  # 75 MB, nearly all of it wanted
    index = listing(server, {"large.safetensors": data})
    sent = [0]
    enough = threading.Event()

    def slow(request: Asked) -> Answer:
        answer = ranged(request, data, {"ETag": '"1"'})
        sent[0] += len(answer.body)
        if sent[0] > len(data) // 2:
            enough.set()
        return answer

    server.on("/large.safetensors", slow)
    # The second request of 32 MiB comes, but for its end: the process waits for it when it is killed.
    server.fail("/large.safetensors", Fault(), Fault(), Fault(cut=20_000_000, end="stall", seconds=30))
    command = [sys.executable, "-c", KILLED, index, str(dataset), str(TESTS)]
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "filtercrawl"
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while sum(path.stat().st_size for path in cache.rglob("*-*-*")) < 45_000_000 and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    kept = sum(path.stat().st_size for path in cache.rglob("*-*-*"))
    assert kept >= 45_000_000
    server.heal()
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(answer[0]) <= len(data) - kept
    assert int(answer[1]) == 8
    assert {row["outcome"] for row in models(dataset).values()} == {"emitted"}


def test_a_dry_run_tells_bytes_and_requests_from_the_architecture_alone(
    dataset: Path, plugins: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        torch.manual_seed(0)
        for name in ("test_vit", "test_resnet", "test_efficientnet"):
            net = timm.create_model(name)
            data = save({key: value.contiguous() for key, value in net.state_dict().items()})
            hub.create(f"timm/{name}.r160_in1k", {"model.safetensors": data})

        def run(**chosen: Any) -> dict[str, Any]:
            made = SyncContext(
                settings=Settings(dataset=dataset, device="cpu", engine="threads", **chosen), plugins=plugins, now=NOW
            )
            found: dict[str, Any] = sync(["timm:test_*.r160_in1k"], made).to_dict()
            return found

        hub.forget()
        expected = run(dry_run=True)
        assert set(hub.counts()) == {"list"}
        assert not (dataset / "data").exists()
        found = run()
        ours, theirs = expected["sources"]["timm"], found["sources"]["timm"]
        assert ours["new"] == theirs["new"] == 3
        assert ours["at_most"] == 0
        assert abs(ours["bytes"] / theirs["bytes"] - 1) < 0.25
        assert 0.5 < ours["requests"] / theirs["requests"] < 2
        assert 0 < ours["share"] < 1
