"""Worker processes of this machine: whatever a reader does, it costs one checkpoint; the dataset is that of threads."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import struct
import threading
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import Checkpoint, RemoteFile
from filtercrawl.api.errors import Cancelled, DatasetError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import NullProgress
from filtercrawl.config import Settings
from filtercrawl.pipeline import time_limit
from filtercrawl.pipeline.discovery.file_questions import is_readable
from filtercrawl.pipeline.engines.processes.driver import ProcessDriver
from filtercrawl.pipeline.engines.processes.make import worker_processes
from filtercrawl.pipeline.report import SyncReport
from support.engines import RunOn, files
from support.http_server import Fault, FileServer
from support.poisoned_reader import AT_NUMBERS, AT_SIGHT, Harm, write_poisoned
from support.zoo_files import models

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="worker processes are forks"),
]

MIB = 1024**2
TWICE = "not read in 2 attempts, the last one alone with twice the limits: "
LOCAL_FILE = "while a file of this machine was read; refused"


def write_networks(zoo: Path, n: int = 3) -> None:
    """Write small networks; two have the same bytes."""
    for number in range(n):
        random = np.random.default_rng(number)
        weights = {f"{name}.weight": random.standard_normal((8, 4, 3, 3), dtype=np.float32) for name in ("a", "b")}
        save_file(weights, zoo / f"net{number}.safetensors")
    shutil.copy(zoo / "net0.safetensors", zoo / "net0-copy.safetensors")


def facts(report: SyncReport) -> dict[str, Any]:
    """Return a report without its times and bytes: of equal files that are read at once, both may be read."""
    found = {name: value for name, value in report.to_dict().items() if name not in ("seconds", "bytes_fetched")}
    found["sources"] = {name: {**source, "bytes": None} for name, source in found["sources"].items()}
    return found


def children() -> set[str]:
    """The processes below this one."""
    return set(Path(f"/proc/self/task/{threading.main_thread().native_id}/children").read_text().split())


def is_running(process: str) -> bool:
    """Whether a process is there, and has not just been left for its parent to look at."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_whatever_a_reader_does_it_costs_one_checkpoint(
    run_on: RunOn, dataset: Path, zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/")  # not below the temporary folder
    before = children()
    harms: dict[Harm, str] = {
        "abort": f"{TWICE}its process crashed (SIGABRT)",
        "exit": f"{TWICE}its process ended early (exit code 3)",
        "kill": f"{TWICE}its process was killed, as by a system that is short of memory; fewer --jobs take less",
        "allocate": f"{TWICE}needs more than 1.1 GB of memory; --memory-limit allows more",
        "memory": f"{TWICE}needs more than 1.1 GB of memory; --memory-limit allows more",
        "compute": f"{TWICE}used 2s of CPU time; --cpu-limit allows more",
        "system_exit": "unexpected SystemExit; please report this as a bug of support.poisoned_reader",
        "start_process": "code tried to reach another process (subprocess.Popen) while the file was read; refused",
        "write": "code tried to write /stolen while the file was read; refused",
        "connect": f"code tried to use the network (socket.getaddrinfo) {LOCAL_FILE}",
    }
    for harm in harms:
        write_poisoned(zoo / f"{harm}.bin", harm, times=99)
    log = write_poisoned(zoo / "server.bin", "kill_server", times=1)
    write_poisoned(zoo / "at-sight.bin", "abort", times=99, magic=AT_SIGHT)
    write_networks(zoo)
    report = run_on("local", jobs=2, memory_limit=512 * MIB, cpu_limit=1.0)
    assert report.failures == {
        "local/at-sight.bin": harms["abort"],
        **{f"local/{harm}.bin": reason for harm, reason in harms.items()},
    }
    assert (report.checkpoints["new"], report.checkpoints["duplicate"]) == (4, 1)
    assert len(log.read_text().split()) == 2
    assert {row["outcome"] for row in models(dataset).values() if row["outcome"] != "failed"} == {
        "emitted", "duplicate",
    }  # fmt: skip
    assert list((dataset / ".filtercrawl/tmp").iterdir()) == []
    assert children() == before


def test_a_parser_that_never_returns_costs_one_checkpoint_some_seconds(run_on: RunOn, zoo: Path) -> None:
    log = write_poisoned(zoo / "loop.bin", "loop_in_c", times=99)
    write_poisoned(zoo / "sight.bin", "loop_in_c", times=99, magic=AT_SIGHT)
    write_poisoned(zoo / "numbers.bin", "loop_in_c", times=99, magic=AT_NUMBERS)
    write_networks(zoo)
    report = run_on("local", jobs=2, reading_limit=0.5)
    reason = (
        "reading its structure or its weights takes more than 0.5s of CPU time, and 0.25s for each megabyte; "
        "--reading-limit allows more"
    )
    assert report.failures == dict.fromkeys(("local/loop.bin", "local/numbers.bin", "local/sight.bin"), reason)
    assert len(log.read_text().split()) == 1
    assert (report.checkpoints["new"], report.checkpoints["duplicate"]) == (3, 1)


def write_looping_heap(path: Path) -> None:
    """Write a small Keras file in which the list of free places of a heap leads back to its beginning."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["conv"]
        file.create_dataset("conv/kernel", data=np.zeros((3, 3, 2, 4), dtype="float32"))
    data = bytearray(path.read_bytes())
    heap = data.index(b"HEAP")
    first, segment = struct.unpack_from("<QQ", data, heap + 16)
    struct.pack_into("<Q", data, segment + first, first)
    path.write_bytes(data)


def test_a_small_hdf5_file_over_which_the_library_loops_costs_some_seconds(run_on: RunOn, zoo: Path) -> None:
    write_looping_heap(zoo / "loop.h5")
    write_networks(zoo)
    report = run_on("local", jobs=2, reading_limit=0.5)
    assert list(report.failures) == ["local/loop.h5"]
    assert report.failures["local/loop.h5"].startswith(
        "reading its structure or its weights takes more than 0.5s of CPU time"
    )
    assert (report.checkpoints["new"], report.checkpoints["duplicate"]) == (3, 1)


def test_a_lost_checkpoint_is_read_once_more_alone_and_the_dataset_is_that_of_threads(
    run_on: RunOn, dataset: Path, zoo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost: tuple[Harm, ...] = ("abort", "memory", "hang")
    logs = [write_poisoned(zoo / f"{harm}.bin", harm, times=1) for harm in lost]
    write_networks(zoo)
    (zoo / "damaged.safetensors").write_bytes(b"\xff" * 100)
    in_processes = run_on("local", jobs=2, stall_timeout=2.0)
    assert [len(set(log.read_text().split())) for log in logs] == [2, 2, 2]
    assert [record.levelno for record in caplog.records if "tried again" in record.message] == [logging.WARNING] * 3
    assert in_processes.failures.keys() == {"local/damaged.safetensors"}
    found = files(dataset)
    shutil.rmtree(dataset)
    assert facts(in_processes) == facts(run_on("threads"))
    assert found == files(dataset)


@pytest.mark.parametrize("process", ["worker", "server"])
def test_a_worker_that_ends_while_it_waits_for_questions_costs_no_answer(
    process: str, poisoned_plugins: Plugins, dataset: Path, zoo: Path
) -> None:
    write_networks(zoo, 1)
    file = RemoteFile(url=(zoo / "net0.safetensors").as_uri(), path="net0.safetensors")
    subjects = [Checkpoint(name="net0.safetensors", files=(file,))] * 2
    settings, before = Settings(dataset=dataset, device="cpu"), children()
    with worker_processes(settings, poisoned_plugins, CancellationToken()) as workers:
        assert workers is not None
        readers = workers.readers()
        assert list(readers.ask(is_readable, subjects, lambda _: False)) == [True, True]
        (server,) = children() - before
        (worker,) = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        os.kill(int(worker if process == "worker" else server), signal.SIGKILL)
        while is_running(worker):  # the system ends it soon after the server
            time.sleep(0.01)
        assert list(readers.ask(is_readable, subjects, lambda _: False)) == [True, True]


@pytest.mark.exhaustive
def test_a_checkpoint_that_kills_the_server_each_time_fails_alone(run_on: RunOn, zoo: Path) -> None:
    before = children()
    write_poisoned(zoo / "a.bin", "kill_server", times=99)
    write_networks(zoo)
    report = run_on("local", jobs=2)
    killed = "its process was killed, as by a system that is short of memory; fewer --jobs take less"
    assert report.failures == {"local/a.bin": f"{TWICE}{killed}"}
    assert (report.checkpoints["new"], report.checkpoints["duplicate"]) == (3, 1)
    assert children() == before


@pytest.mark.parametrize("engine", ["local", "threads"])
def test_a_server_that_drips_does_not_outlive_the_time_limit(
    engine: str, run_on: RunOn, dataset: Path, zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limit, "GRACE_SECONDS", 1.0)
    write_networks(zoo, 1)
    data = (zoo / "net0.safetensors").read_bytes()
    with FileServer() as server:
        server.put("/files/net.safetensors", data)
        file = {"url": f"{server.url}/files/net.safetensors", "path": "net.safetensors", "size": len(data)}
        server.json("/index.json", [{"name": "net", "revision": "1", "files": [file]}])
        server.fail("/files/net.safetensors", Fault(cut=100, end="stall", seconds=60), always=True)
        began = time.monotonic()
        report = run_on(engine, f"served:{server.url}/index.json", time_limit=1.0, cache=tmp_path / "cache")
        assert time.monotonic() - began < 40
    assert (report.failures, report.n_left) == ({}, 1)
    assert models(dataset) == {}


def test_a_listing_that_drips_does_not_outlive_the_time_limit(
    run_on: RunOn, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limit, "GRACE_SECONDS", 1.0)
    with FileServer() as server:
        server.json("/index.json", [])
        server.fail("/index.json", Fault(cut=1, end="stall", seconds=60), always=True)
        selector, began = f"served:{server.url}/index.json", time.monotonic()
        report = run_on("threads", selector, time_limit=1.0)
        assert time.monotonic() - began < 20
    assert report.problems == {selector: "the run ended before it was complete"}


def test_a_full_disk_ends_the_run_and_no_checkpoint_has_failed(run_on: RunOn, dataset: Path, zoo: Path) -> None:
    write_networks(zoo)
    write_poisoned(zoo / "a.bin", "full_disk", times=1)
    with pytest.raises(DatasetError, match=r"^/zoo/cache: No space left on device; make space, or choose"):
        run_on("local", jobs=2)
    assert list((dataset / ".filtercrawl/tmp").iterdir()) == []
    assert run_on("threads").failures == {}


@pytest.mark.exhaustive
def test_as_many_checkpoints_on_servers_are_written_at_a_time_as_there_are_jobs(
    run_on: RunOn, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_networks(zoo, 6)
    (zoo / "net0-copy.safetensors").unlink()
    writing: list[int] = []
    send = ProcessDriver._send

    def count(driver: ProcessDriver, attempt: Any, message: Any) -> None:
        writing.append(sum(other.writes for other in driver._running()))
        send(driver, attempt, message)

    monkeypatch.setattr(ProcessDriver, "_send", count)
    with FileServer() as server:
        rows = []
        for path in sorted(zoo.iterdir()):
            url = server.put(f"/{path.name}", path.read_bytes())
            rows.append({"name": path.name, "files": [{"url": url, "path": path.name}], "revision": "1"})
        report = run_on("local", f"served:{server.pages('/index', [rows])}", jobs=2)
    assert report.checkpoints["new"] == 6
    assert max(writing) in (1, 2)


@pytest.mark.exhaustive
def test_workers_keep_to_the_budget_of_requests_together_and_logs_arrive(
    run_on: RunOn, zoo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_networks(zoo)
    (zoo / "net0-copy.safetensors").unlink()  # which of two is kept would depend on which was read
    with FileServer() as server:
        rows = []
        for path in sorted(zoo.iterdir()):
            url = server.put(f"/{path.name}", path.read_bytes())
            rows.append({"name": path.name, "files": [{"url": url, "path": path.name}], "revision": "1"})
        selector = f"served:{server.pages('/index', [rows])}"
        with caplog.at_level(logging.DEBUG):
            report = run_on("local", selector, max_requests=3)
        assert report.requests == len(server.log) == 3
        assert report.failures == {}
        assert report.n_left >= 1  # one request is for the index
        assert any("HTTP 206" in line or "HTTP 200" in line for line in caplog.messages)
        assert run_on("local", selector).checkpoints["new"] + report.checkpoints["new"] == 3


@pytest.mark.exhaustive
@pytest.mark.parametrize("harm", ["hang", "compute"])
def test_a_cancelled_run_ends_soon_whatever_its_readers_do(harm: Harm, run_on: RunOn, dataset: Path, zoo: Path) -> None:
    write_networks(zoo)
    log = write_poisoned(zoo / "a.bin", harm, times=99)
    cancellation = CancellationToken()

    def cancel_when_read() -> None:
        while not log.exists():
            time.sleep(0.05)
        nonlocal cancelled
        cancelled = time.monotonic()
        cancellation.cancel()

    cancelled = 0.0
    watcher = threading.Thread(target=cancel_when_read)
    watcher.start()
    report = run_on("local", progress=NullProgress(), cancellation=cancellation)
    watcher.join()
    assert time.monotonic() - cancelled < 15
    assert report.failures == {}
    assert report.n_left >= 1
    assert list((dataset / ".filtercrawl/tmp").iterdir()) == []


@pytest.mark.exhaustive
def test_a_listing_ends_when_it_is_cancelled_though_a_reader_hangs_in_it(run_on: RunOn, zoo: Path) -> None:
    log = write_poisoned(zoo / "a.bin", "hang", times=99, magic=AT_SIGHT)
    cancellation = CancellationToken()

    def cancel_when_read() -> None:
        while not log.exists():
            time.sleep(0.05)
        cancellation.cancel()

    watcher = threading.Thread(target=cancel_when_read)
    watcher.start()
    with pytest.raises(Cancelled):
        run_on("local", cancellation=cancellation)
    watcher.join()
