"""`inspect` in a worker process: whatever a reader does, the command ends with one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from filtercrawl import inspect
from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.plugin_manager import Plugins
from support.http_server import FileServer
from support.poisoned_reader import Harm, write_poisoned
from support.zoo_files import put, state

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="worker processes are forks"),
]

STRUCTURE = "reading its structure or its weights takes more than 1s of CPU time, and 0.25s for each megabyte"


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("abort", "its process crashed (SIGABRT)"),
        ("exit", "its process ended early (exit code 3)"),
        ("loop_in_c", f"{STRUCTURE}; --reading-limit allows more"),
        ("allocate", "needs more than 537 MB of memory; --memory-limit allows more"),
        ("hang", "not read in 2s; --stall-timeout allows more"),
    ],
)
def test_a_reader_that_is_lost_is_one_line(
    harm: Harm, reason: str, zoo: Path, poisoned_plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write_poisoned(zoo / "net.bin", harm, times=99)
    for name, value in {
        "ENGINE": "local",
        "READING_LIMIT": "1",
        "MEMORY_LIMIT": "512M",
        "STALL_TIMEOUT": "2" if harm == "hang" else "60",
    }.items():
        monkeypatch.setenv(f"FILTERCRAWL_{name}", value)
    with pytest.raises(CheckpointError) as failure:
        inspect(zoo / "net.bin", plugins=poisoned_plugins)
    assert str(failure.value) == f"net.bin: {reason}"
    assert log.read_text().split() not in ([], [str(os.getpid())])


@pytest.mark.parametrize("engine", ["local", "threads"])
def test_budgets_of_runs_do_not_limit_it(
    engine: str, zoo: Path, poisoned_plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileServer() as server:
        url = server.put("/net.safetensors", put(zoo / "net.safetensors", state()).read_bytes())
        index = server.pages("/index", [[{"name": "net", "files": [{"url": url, "path": "net.safetensors"}]}]])
        for name, value in {"ENGINE": engine, "MAX_REQUESTS": "1", "MAX_BYTES": "1"}.items():
            monkeypatch.setenv(f"FILTERCRAWL_{name}", value)
        assert inspect(f"served:{index}", plugins=poisoned_plugins).format == "safetensors"


def test_what_a_reader_raises_is_told(zoo: Path, poisoned_plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILTERCRAWL_ENGINE", "local")
    write_poisoned(zoo / "exits.bin", "system_exit", times=99)
    reason = r"^exits\.bin: unexpected SystemExit; please report this as a bug of support\.poisoned_reader$"
    with pytest.raises(CheckpointError, match=reason):
        inspect(zoo / "exits.bin", plugins=poisoned_plugins)
    write_poisoned(zoo / "starts.bin", "start_process", times=99)
    with pytest.raises(CheckpointError, match=r"^code tried to reach another process \(subprocess.Popen\)"):
        inspect(zoo / "starts.bin", plugins=poisoned_plugins)


def test_a_sound_file_is_read_and_nothing_is_written(
    zoo: Path, poisoned_plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_poisoned(zoo / "net.bin", "abort", times=0)
    monkeypatch.setenv("FILTERCRAWL_ENGINE", "local")
    monkeypatch.chdir(zoo)
    before = sorted(Path().rglob("*"))
    (tensor,) = inspect("net.bin", plugins=poisoned_plugins).tensors
    assert (tensor["tensor"], tensor["outcome"], tensor["kernel"]) == ("conv.weight", "emitted", "3x3")
    assert sorted(Path().rglob("*")) == before
