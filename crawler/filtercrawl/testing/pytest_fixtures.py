"""Fixtures for tests of plugins: `pytest_plugins = ["filtercrawl.testing.pytest_fixtures"]` in a conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.testing.file_server import FileServer
from filtercrawl.testing.suite import CheckReport, check


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    """A local file server."""
    with FileServer() as server:
        yield server


@pytest.fixture
def check_plugin() -> Callable[..., CheckReport]:
    """Check the plugin in a module, and fail with every finding; takes the arguments of `filtercrawl.testing.check`."""

    def run(module: str, **options: Any) -> CheckReport:
        verdict = check(module, **options)
        assert not verdict.findings, "\n".join(map(str, verdict.findings))
        assert options.get("listing_only") or not verdict.left_out, f"not checked: {dict(verdict.left_out)}"
        return verdict

    return run


@pytest.fixture
def sync_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SyncReport]:
    """Sync selectors into `tmp_path / "dataset"` with the plugin in a module; keyword arguments are settings."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(module: str, *selectors: str, **settings: Any) -> SyncReport:
        chosen = Settings(**{"dataset": tmp_path / "dataset", "device": "cpu", "engine": "threads", **settings})
        return sync(list(selectors), SyncContext(settings=chosen, plugins=load_plugins().with_plugin(module)))

    return run
