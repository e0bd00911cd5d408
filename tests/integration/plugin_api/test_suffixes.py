"""Files with a suffix that only a plugin's reader knows are offered where a source decides by names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Sync
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.pipeline.report import SyncReport
from support.conformance_readers import GOOD_READER
from support.hub.server import HubServer
from support.plugins import WritePlugin

WITH_SUFFIX = GOOD_READER.replace('    name = "odd"\n', '    name = "odd"\n    suffixes = (".odd", ".gguf")\n')


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def odd(write_plugin: WritePlugin) -> Plugins:
    return load_plugins().with_plugin(write_plugin(WITH_SUFFIX))


def sample() -> bytes:
    held: dict[str, object] = {}
    exec(GOOD_READER, held)
    (made,) = held["samples"]()  # type: ignore[operator]
    return bytes(made.files["net.odd"])


@pytest.mark.parametrize("name", ["net.odd", "NET.ODD", "net.gguf"])
def test_the_hub_is_asked_for_files_of_a_reader(hub: HubServer, odd: Plugins, run_sync: Sync, name: str) -> None:
    hub.create("org/net", {name: sample(), "README.md": b"x"})
    before: SyncReport = run_sync("hub:org/net")
    assert (before.checkpoints["skipped"], before.layers) == (1, 0)
    report = run_sync("hub:org/net", plugins=odd)
    assert (report.checkpoints["skipped"], report.failures, report.layers) == (0, {}, 3)


def test_a_local_file_that_has_the_suffix_and_is_not_read_fails(
    zoo: Path, write_plugin: WritePlugin, run_sync: Sync
) -> None:
    (zoo / "damaged.odd").write_bytes(b"gone")
    assert run_sync().failures == {}
    report = run_sync(plugins=load_plugins().with_plugin(write_plugin(WITH_SUFFIX)))
    assert list(report.failures) == ["local/damaged.odd"]


def test_a_query_tells_weight_files_by_their_names(odd: Plugins) -> None:
    assert {".odd", ".gguf", ".safetensors"} <= odd.weight_suffixes
    assert ".odd" not in load_plugins().weight_suffixes
