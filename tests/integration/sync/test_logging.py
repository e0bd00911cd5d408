"""The log of a run: one line a checkpoint, with structured fields and without secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save

from conftest import NOW, Sync
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import NetworkSettings, Settings
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import RetryPolicy
from support.http_server import Fault, FileServer
from support.plugins import BUNDLED, AcmeZoo, entry
from support.zoo_files import put, state

SIGNATURE = "sig-3f1c9a7e"
TOKEN = "tok-84d20b6c"


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


def checkpoint_records(caplog: pytest.LogCaptureFixture) -> dict[str, logging.LogRecord]:
    """The lines of checkpoints, by model id; fails if a checkpoint has two."""
    found: dict[str, logging.LogRecord] = {}
    for record in caplog.records:
        model_id = getattr(record, "checkpoint", None)
        if model_id is not None:
            assert model_id not in found
            found[model_id] = record
    return found


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in ("outcome", "reason", "bytes_fetched", "requests", "seconds")}


def test_every_crawled_checkpoint_has_one_line(
    zoo: Path, run_sync: Sync, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    put(zoo / "a.safetensors", state())
    put(zoo / "b.safetensors", state())
    (zoo / "c.pt").write_bytes(b"nothing of the kind")
    report = run_sync()
    records = checkpoint_records(caplog)
    assert {name: record.outcome for name, record in records.items()} == {  # type: ignore[attr-defined]
        "local/a.safetensors": "emitted", "local/b.safetensors": "duplicate", "local/c.pt": "failed",
    }  # fmt: skip
    read = fields(records["local/a.safetensors"])
    assert (read["reason"], read["requests"]) == (None, 0)
    assert 0 < read["bytes_fetched"] <= report.bytes_fetched
    assert read["bytes_fetched"] <= (zoo / "a.safetensors").stat().st_size
    assert {"header", "extract", "wait", "fetch", "write", "commit"} == set(read["seconds"])
    assert all(seconds >= 0 for seconds in read["seconds"].values())
    assert records["local/a.safetensors"].levelno == logging.INFO
    failed = records["local/c.pt"]
    assert (failed.levelno, fields(failed)["reason"]) == (logging.WARNING, report.failures["local/c.pt"])
    assert capfd.readouterr().out == ""
    caplog.clear()
    run_sync()
    assert checkpoint_records(caplog) == {}  # nothing was crawled


def test_a_run_says_when_it_starts_what_it_lists_and_when_it_ends(
    zoo: Path, run_sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    put(zoo / "a.safetensors", state())
    run_sync()
    lines = [record.getMessage() for record in caplog.records if record.name == "filtercrawl.pipeline.run_log"]
    assert lines[0].startswith("sync started: 1 selector")
    assert "offers 1 checkpoint" in lines[1]
    assert lines[-1].startswith("sync finished in ")
    assert len(lines) == 4


def test_signatures_and_tokens_are_in_no_line(
    server: FileServer, dataset: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = []
    for name, data in {"good.safetensors": save(state()), "bad.pt": b"no such format", "gone.pt": b"-"}.items():
        url = server.put(f"/files/{name}", data)
        rows.append({"name": name, "files": [{"url": f"{url}?sig={SIGNATURE}", "path": name, "size": len(data)}]})
    server.fail("/files/gone.pt", Fault(status=403, body=f"{TOKEN} is expired".encode()), always=True)
    index = f"{server.pages('/index', [rows])}?sig={SIGNATURE}"
    monkeypatch.setenv("LAB_TOKEN", TOKEN)
    mine = entry(monkeypatch, "acme", filtercrawl_sources=lambda: iter([AcmeZoo(index)]))
    settings = NetworkSettings(auth={server.url: "LAB_TOKEN"})
    quick = CancellationToken(sleep=lambda seconds: None)
    run = SyncContext(
        settings=Settings(dataset=dataset, device="cpu"),
        plugins=load_plugins([*BUNDLED, mine]),
        transport=network(settings, cancellation=quick, options=TransportOptions(retry=RetryPolicy(attempts=2))),
        now=NOW,
    )
    report = sync(["acme"], run)
    assert any(TOKEN in request.headers.get("authorization", "") for request in server.log)
    assert report.failures.keys() == {"acme/bad.pt", "acme/gone.pt"}
    records = checkpoint_records(caplog)
    assert records.keys() == {"acme/bad.pt", "acme/gone.pt", "acme/good.safetensors"}
    assert fields(records["acme/good.safetensors"])["requests"] > 0
    for record in caplog.records:
        shown = record.getMessage() + str(vars(record))
        assert SIGNATURE not in shown
        assert TOKEN not in shown
