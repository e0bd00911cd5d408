"""A publisher that is killed at any request, or whose every request fails once: one more run, and all is right."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.sync import SyncContext, sync
from support.hub.server import Asked, Fault, HubServer, Repo
from support.publishers import REPO, Publishers, content, publishers, sound
from support.zoo_files import put, state

# How many requests a publisher is killed at, evenly spread over those that write and those that read; each takes ten
# seconds. Of requests that fail once it is one in eight that does, in three of five ways. 0: it is killed at all of
# them, but for those where a kill leaves the same files and the same repo as at one before, and all of them fail once,
# in every way.
MOMENTS = int(os.environ.get("FILTERCRAWL_TEST_KILLS", "4"))
FAULTS = {
    "429": Fault(status=429, headers={"Retry-After": "0"}),
    "500": Fault(status=500),
    "reset": Fault(line="before"),
    "lost": Fault(line="after"),
    "stale": Fault(status=412),
}
WAYS = list(FAULTS) if MOMENTS == 0 else ["429", "lost", "stale"]

Moment = tuple[int, str]


class Scenario:
    """A dataset and a Hub before one run, both to be restored, and what the run leads to."""

    def __init__(self, folder: Path, children: Publishers, hub: HubServer, max_disk: int | None) -> None:
        self.max_disk = max_disk
        self.dataset = folder / "dataset"
        self.left: dict[Moment, str] = {}
        self.children = children
        self.hub = hub
        self._start = folder / "start"
        shutil.copytree(self.dataset, self._start)
        self._chunks = folder / "chunks"
        if hub.xet is not None:
            shutil.copytree(hub.xet, self._chunks)
        repo = hub.datasets.get(REPO)
        self._repo = repo and (list(repo.commits), dict(repo.tags))
        self._blobs = dict(hub.blobs)
        self._clock = hub._clock
        self.asked = self._rehearse()
        self.expected = content(hub)
        self.versions = set(hub.datasets[REPO].tags)

    def _rehearse(self) -> list[Asked]:
        self.restore()
        if MOMENTS == 0:
            lock = threading.Lock()

            def look(number: int, asked: Asked, when: str) -> None:
                with lock:  # whoever asked waits
                    self.left[number, when] = self.found()

            self.hub.watch = look
        self.run("published")
        self.hub.watch = lambda number, asked, when: None
        return list(self.hub.log)

    def restore(self) -> None:
        shutil.rmtree(self.dataset)
        shutil.copytree(self._start, self.dataset)
        if self.hub.xet is not None:
            shutil.rmtree(self.hub.xet)
            shutil.copytree(self._chunks, self.hub.xet)
        self.hub.datasets.clear()
        if self._repo:
            commits, tags = self._repo
            self.hub.datasets[REPO] = Repo(id=REPO, commits=list(commits), tags=dict(tags))
        self.hub.blobs.clear()
        self.hub.blobs |= self._blobs
        self.hub._clock = self._clock  # by which commits are named: the same requests every time
        self.hub.watch = lambda number, asked, when: None
        self.hub.forget()

    def run(self, *what: str) -> dict[str, Any] | None:
        """Publish; `what` may come of it."""
        found = self.children.publish(self.dataset, self.hub, max_disk=self.max_disk)
        assert found is None or not what or found.get("what") in what, found
        return found

    def check_between(self) -> None:
        sound(self.hub.datasets.get(REPO))

    def found(self) -> str:
        """What the next run would find, here and there, as one hash."""
        digest = hashlib.sha256()
        for root in (self.dataset, *([self.hub.xet] if self.hub.xet else [])):
            for path in sorted(path for path in root.rglob("*") if path.is_file()):
                if not path.name.startswith(("catalog.sqlite", "holder")):  # the latter names a process
                    digest.update(f"{path.relative_to(root)} ".encode() + hashlib.sha256(path.read_bytes()).digest())
        copy = self.dataset.parent / "looked-at"
        shutil.copytree(self.dataset / ".filtercrawl", copy)  # to look at a catalog changes its files
        db = sqlite3.connect(copy / "catalog.sqlite")
        digest.update("\n".join(db.iterdump()).encode())
        db.close()
        shutil.rmtree(copy)
        repo = self.hub.datasets.get(REPO)
        versions = [(commit.title, sorted(commit.files.items())) for commit in repo.commits] if repo else []
        digest.update(repr((versions, sorted(repo.tags) if repo else [], sorted(self.hub.blobs))).encode())
        return digest.hexdigest()

    def check_done(self) -> None:
        repo = self.hub.datasets[REPO]
        assert content(self.hub) == self.expected
        assert set(repo.tags) == self.versions
        assert repo.head.sha in repo.tags.values()
        assert sound(repo)

    def kills(self) -> list[Moment]:
        """When to kill the publisher: before a request is acted on, or after."""
        if MOMENTS:
            return [(number, ("asked", "answered")[place % 2]) for place, number in enumerate(self.moments())]
        first = {state: moment for moment, state in reversed(self.left.items())}
        return sorted(first.values())

    def moments(self, number: int = MOMENTS) -> list[int]:
        """Requests, counted from 1: half of those chosen write."""
        every = range(1, len(self.asked) + 1)
        writing = [n for n in every if self.asked[n - 1].method not in ("GET", "HEAD")]
        reading = [n for n in every if n not in writing]
        return spread(writing, number * 3 // 4) + spread(reading, number - number * 3 // 4)


def spread(every: Sequence[int], number: int) -> list[int]:
    """Choose so many, evenly."""
    if number >= len(every):
        return list(every)
    return [every[i * (len(every) - 1) // max(number - 1, 1)] for i in range(number)]


@pytest.fixture(scope="module", params=["lfs", "xet"])
def children(request: pytest.FixtureRequest) -> Iterator[Publishers]:
    with publishers(xet=request.param == "xet") as found:
        yield found


def crawl(folder: Path) -> None:
    settings = Settings(dataset=folder / "dataset", device="cpu", engine="threads", prune=True)
    sync([f"local:{folder / 'zoo'}"], SyncContext(settings=settings, plugins=load_plugins()))


@pytest.fixture(scope="module", params=["the first", "a later one", "on a small disk"])
def scenario(
    request: pytest.FixtureRequest, children: Publishers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scenario]:
    folder = tmp_path_factory.mktemp("scenario")
    for name, seed in (("changed", 1), ("gone", 2), ("kept", 3)):
        put(folder / f"zoo/{name}.safetensors", state(seed))
    (folder / "xet").mkdir()
    with HubServer(page_size=20, xet=folder / "xet" if children.xet else None) as hub:
        crawl(folder)
        if request.param != "the first":
            found = children.publish(folder / "dataset", hub, version="v2026.11.01")
            assert found is not None
            assert found.get("what") == "published", found
            put(folder / "zoo/changed.safetensors", state(4))
            put(folder / "zoo/new.safetensors", state(5))
            (folder / "zoo/gone.safetensors").unlink()
            crawl(folder)
        yield Scenario(folder, children, hub, 1 if request.param == "on a small disk" else None)


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
def test_killed_at_any_request(scenario: Scenario) -> None:
    for moment in scenario.kills():
        scenario.restore()

        def kill(number: int, asked: Asked, when: str, moment: Moment = moment) -> Fault | None:
            if (number, when) != moment:
                return None
            scenario.children.kill()
            return Fault(line="before" if when == "asked" else "after")

        scenario.hub.watch = kill
        assert scenario.run() is None, moment
        scenario.hub.watch = lambda number, asked, when: None
        scenario.check_between()
        assert scenario.run("published", "finished", "nothing") is not None
        scenario.check_done()


class Once:
    """Answers every request of a release, or one in so many, with one fault, and lets it pass when it is tried again.

    A run ends at the first request that is not; `tried` has what is behind us, for the next run to get further.
    """

    def __init__(self, fault: Fault, *, writes: bool, one_in: int) -> None:
        self.fault = fault
        self.writes = writes
        self.one_in = one_in
        self.tried: set[tuple[object, ...]] = set()
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        self.last: Asked | None = None
        self._failed: set[tuple[object, ...]] = set()
        self._seen: Counter[tuple[object, ...]] = Counter()

    def __call__(self, number: int, asked: Asked, when: str) -> Fault | None:
        if when == "answered" or (self.writes and asked.method in ("GET", "HEAD")):
            return None
        what = (asked.method, asked.path, repr(sorted(asked.query.items())), asked.body, asked.headers.get("range"))
        with self._lock:
            if what in self._failed:
                self._failed.remove(what)
                return None
            self._seen[what] += 1
            occasion = (*what, self._seen[what])
            if occasion in self.tried or zlib.crc32(repr(occasion).encode()) % self.one_in:
                return None
            self.tried.add(occasion)
            self._failed.add(what)
            self.last = asked
            return self.fault


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", WAYS)
def test_every_request_fails_once(scenario: Scenario, kind: str) -> None:
    once = Once(FAULTS[kind], writes=kind == "stale", one_in=8 if MOMENTS else 1)
    for _ in range(len(scenario.asked)):
        scenario.restore()
        once.begin()
        before = len(once.tried)
        scenario.hub.watch = once
        found = scenario.run()
        assert found is not None
        scenario.hub.watch = lambda number, asked, when: None
        scenario.check_between()
        if "error" in found:
            assert found["error"] in ("NetworkError", "ConflictError"), (once.last, found)
            scenario.run("published", "finished", "nothing")
        scenario.check_done()
        if len(once.tried) == before:
            break
    assert len(once.tried) == before, "every run met a request that had not failed yet"
