"""A version costs what is new in it: requests and files, however much was published before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

from conftest import Sync
from filtercrawl.transport import network
from filtercrawl_publish.publishing import PublishOptions, PublishResult, publish_version
from filtercrawl_publish.repository.open import open_repository
from support.hub.server import HubServer
from support.zoo_files import put, state

REPO = "org/kernels"
NETWORKS: Final = 40


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer(page_size=10) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield server


@pytest.fixture
def publish(hub: HubServer, run_sync: Sync, dataset: Path, zoo: Path) -> Callable[[str], PublishResult]:
    """Publish forty networks; then what the test changes."""
    for number in range(NETWORKS):
        put(zoo / f"net{number:02}.safetensors", state(number))

    def run(version: str) -> PublishResult:
        run_sync()
        hub.forget()
        options = PublishOptions(version=version, now=datetime(2026, 11, 23, tzinfo=UTC))
        return publish_version(dataset, open_repository(REPO, network()), options)

    return run


def asked(hub: HubServer, pattern: str) -> set[str]:
    return {entry.path for entry in hub.log if fnmatchcase(entry.path, pattern)}


def test_a_config_that_lists_its_files_is_loaded_with_some_of_them(
    publish: Callable[[str], PublishResult], hub: HubServer, zoo: Path
) -> None:
    """The weights that everybody may redistribute are among the others, so that the card lists their files."""
    for path in sorted(zoo.glob("*.safetensors"))[12:]:
        path.unlink()
    (zoo / "metadata.csv").write_text("file_name,license\n*.safetensors,mit\n")
    publish("v1")
    put(zoo / "more.safetensors", state(100))
    assert publish("v2").outcome == "published"
    assert b"config_name: redistributable" in hub.datasets[REPO].head.files["README.md"]


@pytest.mark.exhaustive
def test_one_more_network(publish: Callable[[str], PublishResult], hub: HubServer, zoo: Path) -> None:
    publish("v1")
    put(zoo / "more.safetensors", state(100))
    assert publish("v2").outcome == "published"
    files = hub.datasets[REPO].head.files
    assert sum(path.startswith("data/layers/") for path in files) == NETWORKS + 1
    read = asked(hub, "*/resolve/*/data/layers/*")
    assert any("more" in path for path in read)  # what is new is read back
    assert 1 < len(read) <= 1 + 8 + 1  # and a sample, or one file of a config
    # The head and the new commit are listed once each, not once a step.
    trees = [entry for entry in hub.log if entry.kind == "tree" and not entry.path.endswith(("/data", "/preview"))]
    assert sum("cursor" not in entry.query for entry in trees) == 2
