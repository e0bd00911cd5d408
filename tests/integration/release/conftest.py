from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from filtercrawl.api.plugin_manager import Plugins
from support.hub.server import HubServer
from support.nightly import Job, opened, place


@pytest.fixture(scope="session")
def first(plugins: Plugins, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """A first release, made once: what follows begins with copies of it."""
    folder = tmp_path_factory.mktemp("first")
    with HubServer() as hub:
        for seed, name in enumerate(["a", "b", "c", "twin"]):
            place(hub, folder, name, min(seed, 2))
        place(hub, folder, "x", 9, "other")
        with pytest.MonkeyPatch.context() as patch:
            job = opened(plugins, hub, folder, patch)
            assert job() == 0
        yield job


@pytest.fixture
def hub(first: Job) -> Iterator[HubServer]:
    with HubServer() as server:
        for name in ("repos", "datasets", "blobs", "_clock"):
            setattr(server, name, copy.deepcopy(getattr(first.hub, name)))
        yield server


@pytest.fixture
def job(plugins: Plugins, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    found = opened(plugins, hub, tmp_path, monkeypatch)
    found.night = 1
    return found


@pytest.fixture
def net(hub: HubServer, tmp_path: Path) -> Callable[..., None]:
    return lambda name, seed, org="org": place(hub, tmp_path, name, seed, org)
