"""A run on a Ray cluster gives what a run in one process gives, whatever happens to its workers."""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.progress import NullProgress
from filtercrawl.pipeline.report import SyncReport
from support.engines import RunOn, files
from support.http_server import FileServer
from support.poisoned_reader import AT_NUMBERS, MAGIC, write_poisoned
from support.zoo_files import models

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

# Differs between two runs of the same engine.
VOLATILE = ("seconds",)


def write_networks(zoo: Path, n: int = 6) -> None:
    """Write small networks."""
    for number in range(n):
        random = np.random.default_rng(number)
        weights = {f"{name}.weight": random.standard_normal((8, 4, 3, 3), dtype=np.float32) for name in ("a", "b")}
        save_file(weights, zoo / f"net{number}.safetensors")


def facts(report: SyncReport) -> dict[str, Any]:
    return {name: value for name, value in report.to_dict().items() if name not in VOLATILE}


def left_behind(dataset: Path) -> list[Path]:
    return list((dataset / ".filtercrawl/tmp").rglob("*"))


def test_a_run_on_ray_gives_the_same_bytes_and_the_same_report(run_on: RunOn, dataset: Path, zoo: Path) -> None:
    write_networks(zoo)
    (zoo / "damaged.safetensors").write_bytes(b"\xff" * 100)
    on_ray = run_on("ray")
    found = files(dataset)
    assert left_behind(dataset) == []
    shutil.rmtree(dataset)
    local = run_on("threads")
    assert facts(on_ray) == facts(local)
    assert local.checkpoints["new"] == 6
    assert found == files(dataset)


def test_of_two_files_with_the_same_bytes_one_is_kept(run_on: RunOn, dataset: Path, zoo: Path) -> None:
    write_networks(zoo, 4)
    for number in range(3):
        shutil.copy(zoo / f"net{number}.safetensors", zoo / f"net{number}-copy.safetensors")
    report = run_on("ray")
    assert (report.checkpoints["new"], report.checkpoints["duplicate"]) == (4, 3)
    found = files(dataset)
    shutil.rmtree(dataset)
    run_on("threads")
    assert found == files(dataset)


def test_files_come_through_the_object_store_where_no_folder_is_shared(run_on: RunOn, dataset: Path, zoo: Path) -> None:
    write_networks(zoo)
    ended = threading.Event()

    def hide_markers() -> None:
        while not ended.wait(0.005):
            for marker in dataset.glob(".filtercrawl/tmp/.ray-*/marker"):
                marker.unlink(missing_ok=True)

    hiding = threading.Thread(target=hide_markers)
    hiding.start()
    try:
        on_ray = run_on("ray")
    finally:
        ended.set()
        hiding.join()
    found = files(dataset)
    shutil.rmtree(dataset)
    assert facts(on_ray) == facts(run_on("threads"))
    assert found == files(dataset)


@dataclass(frozen=True)
class Served:
    """Checkpoints on a server, the last one with the bytes of the first under another URL."""

    server: FileServer
    index: str
    digests: dict[str, str]


@pytest.fixture
def served(zoo: Path) -> Iterator[Served]:
    write_networks(zoo, 4)
    shutil.copy(zoo / "net0.safetensors", zoo / "z-copy.safetensors")
    with FileServer() as server:
        rows, digests = [], {}
        for path in sorted(zoo.iterdir()):
            data = path.read_bytes()
            digests[path.name] = hashlib.sha256(data).hexdigest()
            url = server.put(f"/{path.name}", data)
            file = {"url": url, "path": path.name, "size": len(data), "sha256": digests[path.name]}
            rows.append({"name": path.name, "files": [file], "revision": digests[path.name]})
        yield Served(server, server.pages("/index", [rows]), digests)


def test_a_file_whose_declared_hash_another_one_has_is_not_fetched(
    run_on: RunOn, dataset: Path, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        report = run_on("ray", f"served:{served.index}")
    assert (report.checkpoints["new"], report.checkpoints["duplicate"]) == (4, 1)
    asked = [request.path for request in served.server.log]
    assert "/z-copy.safetensors" not in asked
    assert report.requests == len(asked)
    assert {row["file_sha256"] for row in models(dataset).values()} == set(served.digests.values())
    # What workers log arrives here.
    assert any("net3.safetensors" in line and "HTTP 206" in line for line in caplog.messages)


def test_workers_keep_to_the_budget_of_requests_together(run_on: RunOn, dataset: Path, served: Served) -> None:
    report = run_on("ray", f"served:{served.index}", max_requests=3)
    assert len(served.server.log) <= 3
    assert (report.requests, report.failures) == (len(served.server.log), {})
    assert report.n_left >= 2  # one request is for the index, and the copy needs none


@pytest.mark.parametrize("harm", ["kill", "memory"])
def test_a_checkpoint_whose_worker_is_lost_is_read_by_another(
    harm: Any, run_on: RunOn, dataset: Path, zoo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = write_poisoned(zoo / "poisoned.bin", harm, times=2)
    write_networks(zoo, 3)
    report = run_on("ray")
    assert report.failures == {}
    assert len(log.read_text().split()) == 3
    assert [record.levelno for record in caplog.records if "tried again" in record.message] == [logging.WARNING] * 2
    found = files(dataset)
    shutil.rmtree(dataset)
    run_on("threads")
    assert found == files(dataset)


def test_a_checkpoint_that_ends_every_worker_fails_alone(run_on: RunOn, dataset: Path, zoo: Path) -> None:
    log = write_poisoned(zoo / "poisoned.bin", "exit", times=99)
    write_networks(zoo, 3)
    report = run_on("ray")
    reason = "not read in 3 attempts, the last one alone on a machine: its process was killed or crashed"
    assert report.failures == {"local/poisoned.bin": reason}
    assert len(log.read_text().split()) == 3
    assert {name: row["outcome"] for name, row in models(dataset).items()} == {
        "local/poisoned.bin": "failed", "local/net0.safetensors": "emitted", "local/net1.safetensors": "emitted",
        "local/net2.safetensors": "emitted",
    }  # fmt: skip


@pytest.mark.parametrize("magic", [MAGIC, AT_NUMBERS])
def test_a_parser_that_never_returns_ends_its_worker_by_the_limit_of_reading(
    magic: bytes, run_on: RunOn, zoo: Path
) -> None:
    log = write_poisoned(zoo / "poisoned.bin", "loop_in_c", times=1, magic=magic)
    report = run_on("ray", reading_limit=1.0)
    assert (report.failures, report.checkpoints["new"]) == ({}, 1)
    assert len(set(log.read_text().split())) == 2


def test_a_checkpoint_without_progress_is_read_by_another_worker(run_on: RunOn, zoo: Path) -> None:
    log = write_poisoned(zoo / "poisoned.bin", "hang", times=1)
    report = run_on("ray", stall_timeout=2.0)
    assert (report.failures, report.checkpoints["new"]) == ({}, 1)
    assert len(set(log.read_text().split())) == 2


def test_a_cancelled_run_ends_soon_and_the_next_one_continues(run_on: RunOn, dataset: Path, zoo: Path) -> None:
    write_networks(zoo)
    write_poisoned(zoo / "z.bin", "hang", times=1)
    cancellation = CancellationToken()

    class CancelAtFirst(NullProgress):
        def done(self, model_id: str, what: str) -> None:
            cancellation.cancel()
            self.cancelled = time.monotonic()

    progress = CancelAtFirst()
    report = run_on("ray", progress=progress, cancellation=cancellation)
    assert time.monotonic() - progress.cancelled < 15
    assert report.n_left >= 1
    assert left_behind(dataset) == []
    assert run_on("ray", stall_timeout=2.0).failures == {}
    found = files(dataset)
    shutil.rmtree(dataset)
    run_on("threads")
    assert found == files(dataset)
