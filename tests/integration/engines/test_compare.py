"""`compare` in a worker process: a reader that crashes, hangs or takes too much ends it with one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from filtercrawl import compare
from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.plugin_manager import Plugins
from support.poisoned_reader import AT_NUMBERS, MAGIC, Harm, write_poisoned
from support.zoo_files import put, state

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="worker processes are forks"),
]

TOO_SLOW = "reading its structure or its weights takes more than 1s of CPU time, and 0.25s for each megabyte"


@pytest.mark.parametrize(
    ("harm", "magic", "reason"),
    [
        ("abort", MAGIC, "its process crashed (SIGABRT)"),
        ("loop_in_c", AT_NUMBERS, f"{TOO_SLOW}; --reading-limit allows more"),
    ],
)
def test_a_reader_that_is_lost_is_one_line(
    harm: Harm, magic: bytes, reason: str, zoo: Path, poisoned_plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write_poisoned(zoo / "net.bin", harm, times=99, magic=magic)
    sound = put(zoo / "net.safetensors", state())
    monkeypatch.setenv("FILTERCRAWL_ENGINE", "local")
    monkeypatch.setenv("FILTERCRAWL_READING_LIMIT", "1")
    with pytest.raises(CheckpointError) as failure:
        compare(sound, zoo / "net.bin", plugins=poisoned_plugins)
    assert str(failure.value) == f"net.bin: {reason}"
    assert log.read_text().split() not in ([], [str(os.getpid())])


def test_the_report_is_that_of_this_process(
    zoo: Path, poisoned_plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = put(zoo / "a.safetensors", state(1)), put(zoo / "b.safetensors", state(2))
    reports = []
    for engine in ("local", "threads"):
        monkeypatch.setenv("FILTERCRAWL_ENGINE", engine)
        reports.append(compare(first, second, plugins=poisoned_plugins).to_dict())
    assert reports[0] == reports[1]
    assert len(reports[0]["layers"]) == 3
