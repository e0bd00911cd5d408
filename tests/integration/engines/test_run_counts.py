"""The counts of a run add up on every engine, also when workers are lost, and agree with what a server saw."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.progress import NullProgress
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.schema.run_row import RunRow
from support.engines import RunOn
from support.http_server import Fault, FileServer
from support.poisoned_reader import write_poisoned
from support.run_sums import check_sums

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="worker processes are forks"),
]
ENGINES = ["threads", "local", pytest.param("ray", marks=pytest.mark.exhaustive)]


def last_run(dataset: Path) -> RunRow:
    with Catalog(dataset) as catalog:
        (row,) = catalog.last_runs(1)
    check_sums(row)
    return row


def network(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    return save({"a.weight": random.standard_normal((8, 4, 3, 3), dtype=np.float32)})


@pytest.mark.parametrize("engine", ENGINES)
def test_requests_and_retries_are_those_that_the_server_saw(engine: str, run_on: RunOn, dataset: Path) -> None:
    with FileServer() as server:
        rows = []
        for number in range(3):
            url = server.put(f"/{number}.safetensors", network(number))
            rows.append({"name": str(number), "files": [{"url": url, "path": "a.safetensors"}], "revision": "1"})
        server.fail("/1.safetensors", Fault(status=503))
        run_on(engine, f"served:{server.pages('/index', [rows])}", jobs=2)
        row = last_run(dataset)
        assert row.requests == len(server.log)
    assert (row.new, row.failed, row.retries) == (3, 0, 1)
    assert 0 < row.checkpoint_requests < row.requests


def test_lost_workers_leave_counts_that_add_up(run_on: RunOn, dataset: Path, zoo: Path) -> None:
    (zoo / "good.safetensors").write_bytes(network(1))
    write_poisoned(zoo / "bad.bin", "kill", times=99)
    run_on("local", jobs=2)
    row = last_run(dataset)
    assert (row.outcome, row.new, row.failed, row.new_failures) == ("finished", 1, 1, 1)
    run_on("local", jobs=2, retry="all")
    row = last_run(dataset)
    assert (row.unchanged, row.failed, row.new_failures) == (1, 1, 0)


def test_a_cancelled_run_is_stopped(run_on: RunOn, dataset: Path, zoo: Path) -> None:
    log = write_poisoned(zoo / "a.bin", "hang", times=99)
    (zoo / "b.safetensors").write_bytes(network(1))
    cancellation = CancellationToken()

    def cancel_when_read() -> None:
        while not log.exists():
            time.sleep(0.05)
        cancellation.cancel()

    watcher = threading.Thread(target=cancel_when_read)
    watcher.start()
    run_on("local", progress=NullProgress(), cancellation=cancellation)
    watcher.join()
    row = last_run(dataset)
    assert (row.outcome, row.discovered) == ("stopped", 2)
    assert row.left == 2 - row.new
