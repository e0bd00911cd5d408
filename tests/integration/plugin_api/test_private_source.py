"""A private lab's source: a token by origin, pages, long runs, shards, a teacher's subtree, addresses that expire."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from torch import nn

from conftest import NOW
from filtercrawl.api import Checkpoint, CheckpointMetadata, Query, RemoteFile, Skipped, TrainingRun, Transport
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.config import Settings
from filtercrawl.extraction.architecture import on_meta
from filtercrawl.pipeline import sync as syncing
from filtercrawl.pipeline.inspect import inspect
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import RetryPolicy
from support.http_server import Answer, Asked, Fault, FileServer, ranged
from support.plugins import BUNDLED, entry
from support.zoo_files import State, layers, models, put, table

TOKEN = "tok-5ecret"
STEPS = 500
Crawl = Callable[..., SyncReport]


class Lab:
    """The source as the lab writes it."""

    name = "lab"

    def __init__(self, api: str) -> None:
        self.api = api

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Checkpoint | Skipped]:
        for page in transport.pages(f"{self.api}/checkpoints"):
            for row in page:
                if row["retracted"]:
                    yield Skipped(name=row["name"], reason="retracted by its authors", revision=row["digest"])
                else:
                    yield self.offered(row)

    def offered(self, row: dict[str, Any]) -> Checkpoint:
        return Checkpoint(
            name=row["name"],
            revision=row["digest"],
            files=tuple(RemoteFile(**file) for file in row["files"]),
            prefix=row["prefix"],
            meta=CheckpointMetadata(task="image-classification", license="MIT", extra={"width": row["width"]}),
            run=TrainingRun(**row["run"]) if row["run"] else None,
        )

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        return on_meta(lambda: Net(checkpoint.meta.extra["width"]))

    def resolve(self, transport: Transport, file: RemoteFile) -> RemoteFile:
        signed = transport.get_json(f"{self.api}/sign?path={quote(file.path or '', safe='')}")
        return replace(file, url=signed["url"])


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(width, width, 5, padding=4, dilation=2, groups=width)
        self.head = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.deep(self.stem(x)).mean((2, 3)))
        return out


def trained(seed: int, width: int = 2) -> State:
    torch.manual_seed(seed)
    return dict(Net(width).state_dict())


@dataclass
class Server:
    """The lab's two hosts: an API that wants the token, and a store that wants a signature made for the file."""

    api: FileServer
    store: FileServer
    scratch: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    signatures: set[tuple[str, str]] = field(default_factory=set)
    given: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.api.on("/checkpoints", self._page)
        self.api.on("/sign", self._sign)

    def add(self, name: str, files: dict[str, bytes], **row: Any) -> None:
        listed = []
        for path, data in files.items():
            self.store.on(f"/{path}", partial(self._file, data))
            digest = hashlib.sha256(data).hexdigest()
            listed.append({"path": path, "size": len(data), "sha256": digest})
        digest = hashlib.sha256("".join(str(file["sha256"]) for file in listed).encode()).hexdigest()
        base = {"name": name, "digest": digest, "retracted": False, "prefix": "", "run": None, "width": 2}
        self.rows[name] = base | {"files": listed} | row

    def weights(self, state: State) -> bytes:
        return put(self.scratch, state).read_bytes()

    def asked(self) -> list[str]:
        """What was asked of both since the last time."""
        paths = [asked.path for asked in (*self.api.log, *self.store.log)]
        self.api.log.clear()
        self.store.log.clear()
        return paths

    def _page(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return Answer(status=401)
        first = int(asked.query.get("from", ["0"])[0])
        rows = list(self.rows.values())
        more = f"<{self.api.url}/checkpoints?from={first + 200}>; rel=next"
        headers = {"Content-Type": "application/json"} | ({"Link": more} if first + 200 < len(rows) else {})
        # Every listing gives other addresses, and they are stale before anybody asks.
        page = [row | {"files": [{**f, "url": self._signed(f["path"])} for f in row["files"]]} for row in rows]
        return Answer(headers=headers, body=json.dumps(page[first : first + 200]).encode())

    def _sign(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return Answer(status=401)
        path = asked.query["path"][0]
        url = self._signed(path)
        self.signatures.add((path, url.partition("=")[2]))
        return Answer(headers={"Content-Type": "application/json"}, body=json.dumps({"url": url}).encode())

    def _signed(self, path: str) -> str:
        with self._lock:
            self.given += 1
            return f"{self.store.url}/{path}?signature=s1gned-{self.given}"

    def _file(self, data: bytes, asked: Asked) -> Answer:
        if (asked.path[1:], asked.query["signature"][0]) not in self.signatures:
            return Answer(status=403)
        return ranged(asked, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"'})


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("LAB_TOKEN", TOKEN)
    with FileServer() as api, FileServer() as store:
        yield Server(api, store, tmp_path / "scratch")


@pytest.fixture
def installed(lab: Server, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    return load_plugins([*BUNDLED, entry(monkeypatch, "lab", filtercrawl_sources=lambda: iter([Lab(lab.api.url)]))])


@pytest.fixture
def crawl(lab: Server, installed: Plugins, dataset: Path) -> Crawl:
    """Sync the lab with its token; what was asked before is forgotten."""

    def call(**settings: Any) -> SyncReport:
        lab.asked()
        chosen = Settings(**{"dataset": dataset, "device": "cpu", "auth": {lab.api.url: "LAB_TOKEN"}, **settings})
        quick = network(
            chosen.network,
            cancellation=CancellationToken(sleep=bool),
            options=TransportOptions(retry=RetryPolicy(attempts=3)),
        )
        return syncing.sync(["lab"], syncing.SyncContext(settings=chosen, plugins=installed, transport=quick, now=NOW))

    return call


def fill(lab: Server) -> dict[str, State]:
    """One of each kind: a single file, three shards, a teacher beside its student; returns the weights by name."""
    state = {name: trained(seed) for seed, name in enumerate(("plain", "sharded", "teacher"))}
    lab.add("plain", {"plain/net.safetensors": lab.weights(state["plain"])})
    parts = {f"sharded/net-{i}-of-3.safetensors": key for i, key in enumerate(("stem", "deep", "head"), 1)}
    shards = {
        path: lab.weights({name: w for name, w in state["sharded"].items() if name.startswith(key)})
        for path, key in parts.items()
    }
    index = {f"{key}.{end}": path.partition("/")[2] for path, key in parts.items() for end in ("weight", "bias")}
    text = json.dumps({"metadata": {}, "weight_map": index}).encode()
    lab.add("sharded", {"sharded/net.safetensors.index.json": text, **shards})
    torch.save({"state_dict": {"student": trained(9), "teacher": state["teacher"]}, "epoch": 3}, lab.scratch)
    lab.add("teacher", {"teacher/last.ckpt": lab.scratch.read_bytes()}, prefix="state_dict.teacher.")
    return state


def test_every_kernel_is_the_labs(lab: Server, crawl: Crawl, dataset: Path) -> None:
    states = fill(lab)
    report = crawl(jobs=2)
    assert (report.failures, report.problems) == ({}, {})
    stored = layers(dataset)
    prefix = {"plain": "", "sharded": "", "teacher": "state_dict.teacher."}
    assert stored.keys() == {
        f"lab/{name}#{prefix[name]}{key}.weight" for name in states for key in ("stem", "deep")
    }  # of the student nothing
    for layer_id, weight in stored.items():
        name, tensor = layer_id.removeprefix("lab/").split("#")
        assert np.array_equal(weight, states[name][tensor.removeprefix(prefix[name])].numpy())
    ledger = [row for row in table(dataset, "ledger") if row["model_id"] == "lab/teacher"]
    outside = {row["tensor"] for row in ledger if row["reason"] == "outside_prefix"}
    assert outside == {f"state_dict.student.{key}" for key in trained(9)}
    assert len(ledger) == 2 * len(outside)


def test_the_structure_is_that_of_the_network_which_the_source_builds(lab: Server, crawl: Crawl, dataset: Path) -> None:
    fill(lab)
    crawl()
    rows = table(dataset, "index")
    for name in ("plain", "sharded", "teacher"):
        mine = [row for row in rows if row["model_id"] == f"lab/{name}"]
        stem, deep = sorted(mine, key=lambda row: row["conv_depth"])
        assert (stem["stride"], stem["padding"], stem["conv_depth"], stem["groups"]) == ([2, 2], [1, 1], 0, 1)
        assert (deep["dilation"], deep["padding"], deep["conv_depth"], deep["groups"]) == ([2, 2], [4, 4], 1, 2)
        assert stem["operator_verified"]
        assert deep["operator_verified"]


def test_a_run_of_500_steps(lab: Server, crawl: Crawl, dataset: Path) -> None:
    for step in range(1, STEPS + 1):
        run = {"id": "run7", "step": step, "seed": 3, "final": step == STEPS}
        path = f"run7/{STEPS - step:03d}.safetensors"  # the last comes first in the order of names
        lab.add(path, {path: lab.weights(trained(step))}, run=run)
    report = crawl(limit=3)
    assert len(lab.api.asked("/checkpoints")) == 3  # pages
    assert (report.checkpoints["discovered"], report.checkpoints["new"], report.n_left) == (STEPS, 3, STEPS - 3)
    found = {row["model_id"]: row for row in table(dataset, "index") if row["tensor"] == "stem.weight"}
    assert {name: (row["run_id"], row["step"], row["run_final"]) for name, row in found.items()} == {
        "lab/run7/000.safetensors": ("run7", 500, True),
        "lab/run7/001.safetensors": ("run7", 499, False),
        "lab/run7/002.safetensors": ("run7", 498, False),
    }
    assert {row["seed"] for row in models(dataset).values()} == {3}


def test_a_token_goes_to_its_origin_and_nowhere_else(lab: Server, crawl: Crawl, dataset: Path) -> None:
    fill(lab)
    lab.add("broken", {"broken/net.safetensors": b"\0" * 40})
    report = crawl()
    assert lab.api.log
    assert all(asked.headers["authorization"] == f"Bearer {TOKEN}" for asked in lab.api.log)
    assert lab.store.log
    assert all("authorization" not in asked.headers for asked in lab.store.log)
    assert list(report.failures) == ["lab/broken"]
    refused = crawl(auth={}, dataset=dataset.parent / "other")
    assert list(refused.problems) == ["lab"]
    assert "401" in refused.problems["lab"]
    texts = json.dumps([report.to_dict(), refused.to_dict(), report.failures, refused.problems])
    assert TOKEN not in texts
    assert "s1gned" not in texts
    assert [p for p in dataset.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()] == []
    with pytest.raises(UsageError, match="LAB_TOKEM"):
        crawl(auth={lab.api.url: "LAB_TOKEM"})


def test_signed_addresses_are_neither_published_nor_news(lab: Server, crawl: Crawl, dataset: Path) -> None:
    fill(lab)
    crawl()
    urls = {name: row["url"] for name, row in models(dataset).items()}
    assert urls["lab/plain"] == f"{lab.store.url}/plain/net.safetensors"
    published = [p for p in dataset.rglob("*") if p.is_file() and ".filtercrawl" not in p.parts]
    assert [p for p in published if b"s1gned" in p.read_bytes()] == []
    report = crawl()  # every address in the listing has another signature now
    assert lab.asked() == ["/checkpoints"]
    assert (report.checkpoints["unchanged"], report.requests, report.bytes_fetched) == (3, 1, 0)


def test_a_known_sha256_asks_for_no_address(lab: Server, crawl: Crawl, dataset: Path) -> None:
    states = fill(lab)
    crawl()
    lab.add("twin", {"twin/net.safetensors": lab.weights(states["plain"])})
    report = crawl()
    assert lab.asked() == ["/checkpoints"]
    assert report.checkpoints["duplicate"] == 1
    twin = models(dataset)["lab/twin"]
    assert twin["duplicate_of"] == "lab/plain"
    assert twin["file_bytes"] == lab.rows["twin"]["files"][0]["size"]


def test_changed_deleted_retracted(lab: Server, crawl: Crawl, dataset: Path) -> None:
    fill(lab)
    lab.add("doomed", {"doomed/net.safetensors": lab.weights(trained(5))})
    lab.add("withheld", {"withheld/net.safetensors": lab.weights(trained(6))}, retracted=True)
    first = crawl()
    assert first.checkpoints["skipped"] == 1
    assert models(dataset)["lab/withheld"]["reason"] == "retracted by its authors"
    lab.add("plain", {"plain/net.safetensors": lab.weights(trained(8))})
    del lab.rows["doomed"]
    report = crawl(prune=True)
    assert set(lab.asked()) == {"/checkpoints", "/sign", "/plain/net.safetensors"}
    assert (report.checkpoints["changed"], report.checkpoints["unchanged"], report.removed_models) == (
        1,
        2,
        ["lab/doomed"],
    )
    stored = layers(dataset)
    assert np.array_equal(stored["lab/plain#stem.weight"], trained(8)["stem.weight"].numpy())
    assert not any(layer_id.startswith("lab/doomed") for layer_id in stored)


def test_a_page_that_fails_removes_nothing(lab: Server, crawl: Crawl, dataset: Path) -> None:
    fill(lab)
    crawl()
    before = layers(dataset).keys()
    lab.rows.clear()
    lab.api.fail("/checkpoints", Fault(status=500), always=True)
    report = crawl(prune=True)
    assert list(report.problems) == ["lab"]
    assert f"{lab.api.url}/checkpoints" in report.problems["lab"]
    assert report.removed_models == []
    assert layers(dataset).keys() == before
    lab.api.heal()
    assert len(crawl(prune=True).removed_models) == 3  # the same rows, listed in full
    assert layers(dataset) == {}


@pytest.mark.parametrize(
    ("answer", "text"),
    [(Answer(status=404), "404"), (Answer(body=b"{}"), "the source lab cannot say where it is now: KeyError")],
)
def test_an_address_that_is_not_given_costs_one_checkpoint(
    lab: Server, crawl: Crawl, answer: Answer, text: str
) -> None:
    fill(lab)
    right = lab._sign
    lab.api.on("/sign", lambda asked: answer if "plain" in asked.query["path"][0] else right(asked))
    report = crawl()
    assert list(report.failures) == ["lab/plain"]
    assert text in report.failures["lab/plain"]
    assert report.checkpoints["new"] == 2


def test_inspecting_resolves_too(lab: Server, installed: Plugins, dataset: Path) -> None:
    lab.add("plain", {"plain/net.safetensors": lab.weights(trained(1))})
    found = inspect("lab", installed, Settings(dataset=dataset, auth={lab.api.url: "LAB_TOKEN"}))
    kernels = {row["tensor"]: row["stride"] for row in found.tensors if row["outcome"] == "emitted"}
    assert kernels == {"stem.weight": (2, 2), "deep.weight": (1, 1)}
