"""A dataset in a bucket of moto's S3 server, with the real client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import NOW
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings, resolve
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from support.object_store import ObjectStoreServer, object_store_server

pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
pytest.importorskip("moto", reason="the extra `test` is not installed")

SyncUrl = Callable[..., SyncReport]


@pytest.fixture(scope="session")
def server() -> Iterator[ObjectStoreServer]:
    with object_store_server() as running:
        yield running


@pytest.fixture
def url(server: ObjectStoreServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a dataset that is still to be made."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.requests.clear()
    yield f"s3://{server.new_bucket()}/kernels"
    server.conditional = True


@pytest.fixture
def settings_on(url: str, tmp_path: Path) -> Callable[..., Settings]:
    """The settings of a machine, by its name: each has a cache of its own."""

    def make(machine: str = "one", **others: Any) -> Settings:
        chosen = resolve(
            {"dataset": url, "cache": str(tmp_path / f"cache-{machine}"), "device": "cpu", "engine": "threads"}
        )
        return replace(chosen, **others)

    return make


@pytest.fixture
def sync_on(settings_on: Callable[..., Settings], plugins: Plugins, zoo: Path) -> SyncUrl:
    """Sync the folder `zoo` into the object store on a machine; keyword arguments are settings."""

    def call(machine: str = "one", **others: Any) -> SyncReport:
        context = SyncContext(settings=settings_on(machine, **others), plugins=plugins, now=NOW)
        return sync([f"local:{zoo}"], context)

    return call
