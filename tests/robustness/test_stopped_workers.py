"""Ctrl+C and SIGTERM end a run in worker processes, whatever those do; none is left, and the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from conftest import NOW
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from support.paths import TESTS
from support.plugins import declared
from support.poisoned_reader import write_poisoned

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="the processes that are left are looked for in /proc"),
]

MARK = "FILTERCRAWL_TEST_RUN"


def plugin_folder(folder: Path) -> Path:
    """Make a folder that, on the path of Python, installs the reader that hangs."""
    info = folder / "poisoned-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: poisoned\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[filtercrawl.readers]\npoisoned = support.poisoned_reader\n")
    return folder


def processes_of(run: str) -> list[str]:
    """Return the command lines of the processes that a run has started."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if f"{MARK}={run}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def go_on(dataset: Path, zoo: Path) -> SyncReport:
    plugins = load_plugins([*declared(), EntryPoint("poisoned", "support.poisoned_reader", "filtercrawl.readers")])
    settings = Settings(dataset=dataset, device="cpu", engine="threads")
    return sync([f"local:{zoo}"], SyncContext(settings=settings, plugins=plugins, now=NOW))


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        pytest.param([signal.SIGINT], 130, marks=pytest.mark.exhaustive),
        ([signal.SIGTERM], 143),
        ([signal.SIGINT, signal.SIGINT], -signal.SIGINT),
    ],
    ids=["Ctrl+C", "SIGTERM", "Ctrl+C twice"],
)
def test_a_signal_ends_a_run_whose_reader_hangs(
    signals: list[signal.Signals], code: int, dataset: Path, zoo: Path, tmp_path: Path
) -> None:
    log = write_poisoned(zoo / "a.bin", "hang", times=1)
    weight = np.random.default_rng(0).standard_normal((8, 4, 3, 3), dtype=np.float32)
    save_file({"conv.weight": weight}, zoo / "b.safetensors")
    run = uuid.uuid4().hex
    paths = [str(plugin_folder(tmp_path / "site")), str(TESTS)]
    process = subprocess.Popen(
        [sys.executable, "-m", "filtercrawl", "sync", f"local:{zoo}", "--dataset", str(dataset), "--engine", "local"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), MARK: run},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(log.exists)
    assert len(processes_of(run)) >= 3  # the run, the server, a worker
    assert process.stderr is not None
    os.killpg(process.pid, signals[0])  # as a terminal does
    for number in signals[1:]:
        while not process.stderr.readline().startswith("stopping after the checkpoints in progress; "):
            assert process.poll() is None
        os.killpg(process.pid, number)
    sent = time.monotonic()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert "Traceback" not in said
    assert time.monotonic() - sent < (5 if len(signals) == 2 else 15)
    wait_until(lambda: not processes_of(run))
    if len(signals) == 1:
        assert "the next run continues from here" in said
        assert list((dataset / ".filtercrawl/tmp").iterdir()) == []
    assert go_on(dataset, zoo).failures == {}
    assert list((dataset / ".filtercrawl/tmp").iterdir()) == []
