"""What every test has: an offline Hugging Face, a clean environment, the installed plugins, a way to sync."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import sys
import tempfile

# Read by huggingface_hub and datasets when they are imported; the folder goes when the process ends, and not with this
# module, which pytest forgets and imports anew where it meets another conftest.
_HOME = tempfile.mkdtemp(prefix="hf-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HOME": _HOME,
    "no_proxy": "127.0.0.1",
    "HF_HUB_DISABLE_XET": "1",
}

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from support.browser import find_browser, open_browser
from support.forked_python import forked_python

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Sync = Callable[..., SyncReport]
CORPUS = os.environ.get("FILTERCRAWL_CORPUS")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

# No deadline: how long an example takes depends on what else runs on the machine. In CI the examples are the same in
# every run, elsewhere others each time.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_interrupts() -> None:
    """Python ignores Ctrl+C in a process that a shell without job control started in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def quick_disk() -> Iterator[None]:
    """Do not wait for the disk: a test that kills a process loses nothing that the system has been given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("FILTERCRAWL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FILTERCRAWL_ENGINE", "threads")  # its workers start at once; the others have tests of their own
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def logging_stays_as_it_was() -> Iterator[None]:
    """Undo what a command configures."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="session")
def forked_program() -> Iterator[str]:
    if sys.platform != "linux":
        yield sys.executable
        return
    with forked_python() as program:
        yield program


@pytest.fixture(scope="module")
def forked_children(forked_program: str) -> Iterator[None]:
    """Let the Python processes that a module starts, or that filtercrawl starts, have their imports done."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", forked_program)
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """An installed Chromium or Chrome; the test is skipped where there is none."""
    executable = find_browser()
    if executable is None:
        pytest.skip("needs an installed Chromium or Chrome")
    with open_browser(executable) as browser:
        yield browser


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    found = load_plugins()
    assert not found.broken
    return found


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return tmp_path / "dataset"


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """An empty folder to put checkpoints in."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    return folder


@pytest.fixture
def run_sync(plugins: Plugins, dataset: Path, zoo: Path) -> Sync:
    """Sync selectors (default: the folder `zoo`) into `dataset`; keyword arguments are settings, `now` the clock."""

    def call(*selectors: str, now: datetime = NOW, plugins: Plugins = plugins, **settings: Any) -> SyncReport:
        chosen = Settings(**{"dataset": dataset, "device": "cpu", "engine": "threads", **settings})
        return sync(selectors or (f"local:{zoo}",), SyncContext(settings=chosen, plugins=plugins, now=now))

    return call


@pytest.fixture(scope="session")
def corpus() -> Path:
    if not CORPUS:
        pytest.skip("FILTERCRAWL_CORPUS names no folder of real checkpoints")
    return Path(CORPUS)
