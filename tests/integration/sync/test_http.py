"""Checkpoints over HTTP end in the dataset that the same files on disk end in, whatever the network does."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import NOW, Sync
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import NetworkError, UsageError
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import NetworkSettings, Settings
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import RetryPolicy
from support.http_server import Answer, Asked, Fault, FileServer, gzipped, multipart, ranged
from support.plugins import BUNDLED, AcmeZoo, entry
from support.zoo_files import layers, models, put, state

OPTIONS = TransportOptions(read_timeout=0.3, retry=RetryPolicy(attempts=4))
QUICK = CancellationToken(sleep=lambda seconds: None)


@dataclass
class Zoo:
    """Three real checkpoints of three formats, on disk and on a server."""

    server: FileServer
    folder: Path
    files: dict[str, Path]

    def publish(self, *, hashed: bool = True) -> str:
        """Serve everything; returns the URL of the index."""
        rows = []
        for name, path in sorted(self.files.items()):
            data = path.read_bytes()
            url = self.server.put(f"/files/{name}", data)
            digest = hashlib.sha256(data).hexdigest()
            known = {"size": len(data), "sha256": digest} if hashed else {"etag": digest[:8]}
            rows.append(
                {"name": name, "files": [{"url": url, "path": name, **known}], "revision": digest if hashed else None}
            )
        return self.server.pages("/index", [rows[:2], rows[2:]])


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Zoo]:
    folder = tmp_path / "acme"
    files = {"small.safetensors": put(folder / "small.safetensors", state()), "net.pt": folder / "net.pt"}
    files["wide.safetensors"] = put(folder / "wide.safetensors", state(2, width=512))
    torch.save(state(1, width=400), files["net.pt"])
    with FileServer() as server:
        yield Zoo(server, folder, files)


Crawl = Callable[..., SyncReport]


@pytest.fixture
def crawl(monkeypatch: pytest.MonkeyPatch, dataset: Path) -> Crawl:
    """Sync `acme` from an index."""

    def call(index: str, where: Path = dataset, limits: NetworkSettings | None = None, **settings: Any) -> SyncReport:
        mine = entry(monkeypatch, "acme", filtercrawl_sources=lambda: iter([AcmeZoo(index)]))
        run = SyncContext(
            settings=Settings(dataset=where, device="cpu", jobs=1, **settings),
            plugins=load_plugins([*BUNDLED, mine]),
            transport=network(limits, cancellation=QUICK, options=OPTIONS),
            now=NOW,
        )
        return sync(["acme"], run)

    return call


def content(dataset: Path) -> dict[str, Any]:
    """What a dataset says of its models, but for what the network did and where it was."""
    volatile = ("bytes_fetched", "url", "verified", "revision", "etag")
    return {name: {k: v for k, v in row.items() if k not in volatile} for name, row in models(dataset).items()}


def shards(dataset: Path) -> dict[str, bytes]:
    return {str(path.relative_to(dataset)): path.read_bytes() for path in (dataset / "data/layers").rglob("*.parquet")}


def test_kernels_are_bit_equal_to_those_on_disk(
    acme: Zoo, crawl: Crawl, dataset: Path, tmp_path: Path, run_sync: Sync
) -> None:
    report = crawl(acme.publish())
    assert report.to_dict()["checkpoints"]["new"] == 3
    assert report.failures == {}
    run_sync(f"local:{acme.folder}", dataset=tmp_path / "local")
    over_http, on_disk = layers(dataset), layers(tmp_path / "local")
    assert {key.partition("/")[2] for key in over_http} == {key.partition("/")[2] for key in on_disk}
    for key, weight in over_http.items():
        assert np.array_equal(weight, on_disk["local/" + key.partition("/")[2]])
    rows = models(dataset)
    for name, path in acme.files.items():
        assert rows[f"acme/{name}"]["file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert rows[f"acme/{name}"]["file_bytes"] == path.stat().st_size
        assert rows[f"acme/{name}"]["url"] == f"{acme.server.url}/files/{name}"
    assert report.bytes_fetched == sum(row["bytes_fetched"] for row in rows.values())
    assert report.requests == len(acme.server.log)


def test_a_second_run_asks_for_the_listing_only(acme: Zoo, crawl: Crawl, dataset: Path) -> None:
    index = acme.publish()
    crawl(index)
    before = shards(dataset)
    acme.server.log.clear()
    report = crawl(index)
    assert [asked.path for asked in acme.server.log] == ["/index", "/index"]
    assert (report.requests, report.bytes_fetched, report.checkpoints["unchanged"]) == (2, 0, 3)
    assert shards(dataset) == before


def test_what_a_host_that_cannot_be_reached_was_to_serve_is_due_again(
    acme: Zoo, crawl: Crawl, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "OPTIONS", replace(OPTIONS, unreachable_limit=3))
    nowhere = "http://127.0.0.1:9"  # nothing listens there
    files = [{"url": f"{nowhere}/{n}", "path": f"{n}.pt", "size": 9} for n in range(60)]
    rows = [{"name": file["path"], "files": [file], "revision": None} for file in files]
    index = acme.server.pages("/index", [rows])
    for _ in range(2):
        report = crawl(index)
        assert report.checkpoints["failed"] == report.checkpoints["waiting"] + 60 == 60
        given_up = [reason for reason in report.failures.values() if "sends it no more requests" in reason]
        assert given_up  # of the few that several workers began at once, each may have made its attempts
        assert all(nowhere in reason for reason in report.failures.values())
        assert {(row["attempts"], row["next_retry"]) for row in models(dataset).values()} == {(0, None)}


@pytest.mark.parametrize("hashed", [True, False])
def test_only_what_changed_is_fetched(acme: Zoo, crawl: Crawl, hashed: bool) -> None:
    crawl(acme.publish(hashed=hashed))
    put(acme.files["small.safetensors"], state(7))
    index = acme.publish(hashed=hashed)
    acme.server.log.clear()
    report = crawl(index)
    assert {asked.path for asked in acme.server.log} == {"/index", "/files/small.safetensors"}
    assert (report.checkpoints["changed"], report.checkpoints["unchanged"]) == (1, 2)


def test_no_byte_comes_twice(acme: Zoo, crawl: Crawl, dataset: Path) -> None:
    crawl(acme.publish(hashed=False))
    for name, path in acme.files.items():
        seen: set[int] = set()
        for asked in acme.server.asked(f"/files/{name}"):
            start, stop = map(int, asked.headers["range"].removeprefix("bytes=").split("-"))
            assert seen.isdisjoint(range(start, min(stop + 1, path.stat().st_size)))
            seen.update(range(start, stop + 1))
    for name, row in models(dataset).items():
        whole = row["bytes_fetched"] == row["file_bytes"]
        data = acme.files[name.removeprefix("acme/")].read_bytes()
        assert row["file_sha256"] == (hashlib.sha256(data).hexdigest() if whole else None)
        assert row["verified"] == "etag"


def test_a_file_that_is_known_by_its_sha256_is_not_fetched(acme: Zoo, crawl: Crawl, dataset: Path) -> None:
    crawl(acme.publish())
    acme.files["twin.pt"] = acme.files["net.pt"]
    index = acme.publish()
    acme.server.log.clear()
    report = crawl(index)
    assert {asked.path for asked in acme.server.log} == {"/index"}
    assert (report.checkpoints["duplicate"], report.bytes_fetched) == (1, 0)
    assert models(dataset)["acme/twin.pt"]["duplicate_of"] == "acme/net.pt"


def test_a_file_that_is_not_what_the_source_said(acme: Zoo, crawl: Crawl, dataset: Path) -> None:
    index = acme.publish()
    good = acme.files["net.pt"].read_bytes()
    acme.server.put("/files/net.pt", good[:-100] + bytes(100))
    acme.server.fail("/files/net.pt", Fault(ignore_range=True), always=True)  # so that all of it is seen
    report = crawl(index)
    assert list(report.failures) == ["acme/net.pt"]
    assert len(shards(dataset)) == 2


FAULTS = {
    "429": Fault(status=429, headers={"Retry-After": "3"}),
    "500": Fault(status=500),
    "reset": Fault(cut=700, end="reset"),
    "truncated": Fault(cut=700),
    "stall": Fault(cut=700, end="stall"),
    "no answer": Fault(cut=-1),
    "wrong range": Fault(headers={"Content-Range": "bytes 1-2/3"}),
    "gzip": Fault(change=gzipped),
    "multipart": Fault(change=multipart),
    "range ignored": Fault(ignore_range=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_faults_end_in_the_dataset_of_a_quiet_run(
    acme: Zoo, crawl: Crawl, dataset: Path, tmp_path: Path, fault: Fault
) -> None:
    index = acme.publish()
    crawl(index, tmp_path / "quiet")
    for path in ("/files/wide.safetensors", "/files/net.pt"):
        acme.server.fail(path, fault, fault)
    if fault.status is not None or fault.cut is not None:  # the others are faults of ranges
        acme.server.fail("/index", replace(fault, cut=None if fault.cut is None else min(fault.cut, 20)))
    report = crawl(index)
    assert (report.failures, report.problems) == ({}, {})
    assert content(dataset) == content(tmp_path / "quiet")
    assert shards(dataset) == shards(tmp_path / "quiet")


@pytest.mark.parametrize("fault", [FAULTS["500"], FAULTS["reset"], FAULTS["gzip"], Fault(status=404)])
def test_a_fault_that_stays_costs_that_one_checkpoint(
    acme: Zoo, crawl: Crawl, dataset: Path, tmp_path: Path, fault: Fault
) -> None:
    index = acme.publish()
    crawl(index, tmp_path / "quiet")
    acme.server.fail("/files/wide.safetensors", fault, always=True)
    report = crawl(index)
    assert list(report.failures) == ["acme/wide.safetensors"]
    assert "wide.safetensors" in report.failures["acme/wide.safetensors"]
    assert "report this as a bug" not in report.failures["acme/wide.safetensors"]
    assert models(dataset)["acme/wide.safetensors"]["outcome"] == "failed"
    quiet = shards(tmp_path / "quiet")
    assert shards(dataset) == {path: data for path, data in quiet.items() if "/wide" not in path}
    acme.server.heal()
    assert crawl(index, retry="all").failures == {}
    assert shards(dataset) == quiet


def test_a_listing_that_breaks_off_removes_nothing(acme: Zoo, crawl: Crawl, dataset: Path) -> None:
    index = acme.publish()
    crawl(index)
    acme.server.fail("/index", Fault(), Fault(status=500), Fault(status=500), Fault(status=500), Fault(status=500))
    report = crawl(index, prune=True)
    assert list(report.problems) == ["acme"]
    assert report.checkpoints["removed"] == 0
    assert len(shards(dataset)) == 3


def test_a_file_that_changes_while_it_is_read(acme: Zoo, crawl: Crawl, dataset: Path) -> None:
    index = acme.publish()
    one = acme.files["net.pt"].read_bytes()
    two = one[:-300] + bytes(300)

    def changing(asked: Asked) -> Answer:
        second = len(acme.server.asked("/files/net.pt")) > 1
        return ranged(asked, two if second else one, {"ETag": '"2"' if second else '"1"'})

    acme.server.on("/files/net.pt", changing)
    report = crawl(index)
    assert "is recorded" in report.failures["acme/net.pt"]  # read again, from its beginning: it is not what was listed
    assert len(shards(dataset)) == 2


def test_a_file_that_changes_under_way_is_read_again(acme: Zoo, crawl: Crawl, dataset: Path) -> None:
    """Nobody stated what it is, so the new version is as good as the old one."""
    index = acme.publish(hashed=False)
    old = acme.files["wide.safetensors"].read_bytes()
    new = put(acme.folder / "new.safetensors", state(9, width=512)).read_bytes()

    def changing(asked: Asked) -> Answer:
        later = len(acme.server.asked("/files/wide.safetensors")) > 1
        return ranged(asked, new if later else old, {"ETag": '"2"' if later else '"1"'})

    acme.server.on("/files/wide.safetensors", changing)
    report = crawl(index)
    assert report.failures == {}
    stored = {key.partition("#")[2]: weight for key, weight in layers(dataset).items() if "/wide" in key}
    assert stored.keys() == {"stem.weight", "deep.weight"}
    assert all(np.array_equal(stored[key], state(9, width=512)[key].numpy()) for key in stored)


def test_a_budget_of_requests_ends_the_run_cleanly(acme: Zoo, crawl: Crawl, dataset: Path, tmp_path: Path) -> None:
    index = acme.publish()
    crawl(index, tmp_path / "quiet")
    acme.server.log.clear()
    first = crawl(index, limits=NetworkSettings(max_requests=3))  # the listing, and fewer than there are checkpoints
    assert first.requests == len(acme.server.log) == 3
    assert first.failures == {}
    assert first.n_left >= 1
    second = crawl(index)
    assert (second.failures, second.n_left) == ({}, 0)
    assert shards(dataset) == shards(tmp_path / "quiet")


def test_who_opted_out_is_never_asked(acme: Zoo, crawl: Crawl, dataset: Path, tmp_path: Path) -> None:
    index = acme.publish()
    (tmp_path / "names.txt").write_text("# takedowns\nacme:net.pt  # asked for by its author\n\n")
    names = acme.server.json("/names", [f"{acme.server.url}/files/wide*"])
    report = crawl(index, opt_out_from=(str(tmp_path / "names.txt"), names))
    assert (report.checkpoints["skipped"], report.checkpoints["new"]) == (2, 1)
    assert {asked.path for asked in acme.server.log} == {"/names", "/index", "/files/small.safetensors"}
    assert models(dataset)["acme/net.pt"]["reason"] == "opted out"
    crawl(index, opt_out=("acme:*",))
    with pytest.raises(NetworkError):
        crawl(index, opt_out_from=(acme.server.url + "/gone",))
    with pytest.raises(UsageError, match="neither SOURCE:PATTERN nor a URL"):
        crawl(index, opt_out=("net.pt",))


def test_the_settings_reach_the_network(acme: Zoo, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private zoo: a mirror, a token for it, both from the settings alone."""
    monkeypatch.setenv("LAB_TOKEN", "tok-1")
    acme.publish()
    rows = [
        {"name": "net.pt", "revision": "1", "files": [{"url": "https://lab.example/files/net.pt", "path": "net.pt"}]}
    ]
    acme.server.json("/index", rows)
    refused = Answer(status=401)
    data = acme.files["net.pt"].read_bytes()
    allowed = "Bearer tok-1"
    acme.server.on(
        "/files/net.pt",
        lambda asked: ranged(asked, data, {}) if asked.headers.get("authorization") == allowed else refused,
    )
    mine = entry(monkeypatch, "acme", filtercrawl_sources=lambda: iter([AcmeZoo("https://lab.example/index")]))
    mirrors = {"https://lab.example/": acme.server.url + "/"}
    settings = Settings(dataset=dataset, device="cpu", mirrors=mirrors, auth={acme.server.url: "LAB_TOKEN"})
    report = sync(["acme"], SyncContext(settings=settings, plugins=load_plugins([*BUNDLED, mine]), now=NOW))
    assert (report.failures, report.problems, report.layers) == ({}, {}, 2)
    told = [path for path in dataset.rglob("*") if path.is_file() and b"tok-1" in path.read_bytes()]
    assert told == []
