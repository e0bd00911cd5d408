"""Fixtures for the tests of a plugin: `pytest_plugins = ["filtercrawl.testing.fixtures"]` in its conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.manager import load
from filtercrawl.report import Report
from filtercrawl.settings import Settings
from filtercrawl.sync import Run, sync
from filtercrawl.testing.check import Verdict, check
from filtercrawl.testing.server import FileServer


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    """A server on loopback."""
    with FileServer() as server:
        yield server


@pytest.fixture
def check_plugin() -> Callable[..., Verdict]:
    """Check the plugin in a module, and fail with every finding; takes what `filtercrawl.testing.check` takes."""

    def run(module: str, **options: Any) -> Verdict:
        verdict = check(module, **options)
        assert not verdict.findings, "\n".join(map(str, verdict.findings))
        assert options.get("listing_only") or not verdict.left_out, f"not checked: {dict(verdict.left_out)}"
        return verdict

    return run


@pytest.fixture
def sync_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Report]:
    """Sync selectors into `tmp_path / "dataset"` with the plugin in a module; keyword arguments are settings."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(module: str, *selectors: str, **settings: Any) -> Report:
        chosen = Settings(**{"dataset": tmp_path / "dataset", "device": "cpu", **settings})
        return sync(list(selectors), Run(settings=chosen, plugins=load().adding(module)))

    return run
