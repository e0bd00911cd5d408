"""A publisher that is killed at any request, or whose every request fails once: one more run, and all is right."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.manager import load
from filtercrawl.settings import Settings
from filtercrawl.sync import Run, sync
from hub_server import Asked, Fault, HubServer, Repo
from publishers import REPO, Publishers, content, publishers, sound
from zoo_files import put, state

# How many moments are tried, evenly spread over those at which something is written and those at which something is
# read; each takes ten seconds. 0: all of them.
MOMENTS = int(os.environ.get("FILTERCRAWL_TEST_KILLS", "8"))
FAULTS = {
    "429": Fault(status=429, headers={"Retry-After": "0"}),
    "500": Fault(status=500),
    "reset": Fault(line="before"),
    "lost": Fault(line="after"),
    "stale": Fault(status=412),
}
Moment = tuple[int, str]


class Story:
    """A dataset and a Hub before one run, both to be restored, and what the run leads to."""

    def __init__(self, folder: Path, children: Publishers, hub: HubServer) -> None:
        self.dataset = folder / "dataset"
        self.children = children
        self.hub = hub
        self._start = folder / "start"
        shutil.copytree(self.dataset, self._start)
        repo = hub.datasets.get(REPO)
        self._repo = repo and (list(repo.commits), dict(repo.tags))
        self._blobs = dict(hub.blobs)
        self.asked = self._rehearse()
        self.expected = content(hub)
        self.versions = set(hub.datasets[REPO].tags)

    def _rehearse(self) -> list[Asked]:
        self.restore()
        self.run("published")
        return list(self.hub.log)

    def restore(self) -> None:
        shutil.rmtree(self.dataset)
        shutil.copytree(self._start, self.dataset)
        self.hub.datasets.clear()
        if self._repo:
            commits, tags = self._repo
            self.hub.datasets[REPO] = Repo(id=REPO, commits=list(commits), tags=dict(tags))
        self.hub.blobs.clear()
        self.hub.blobs |= self._blobs
        self.hub.watch = lambda number, asked, when: None
        self.hub.forget()

    def run(self, *what: str) -> dict[str, Any] | None:
        """Publish; `what` may come of it."""
        found = self.children.publish(self.dataset, self.hub)
        assert found is None or not what or found.get("what") in what, found
        return found

    def check_between(self) -> None:
        sound(self.hub.datasets.get(REPO))

    def check_done(self) -> None:
        repo = self.hub.datasets[REPO]
        assert content(self.hub) == self.expected
        assert set(repo.tags) == self.versions
        assert repo.head.sha in repo.tags.values()
        assert sound(repo)

    def moments(self, number: int = MOMENTS) -> list[int]:
        """Requests, counted from 1: half of those chosen write."""
        every = range(1, len(self.asked) + 1)
        writing = [n for n in every if self.asked[n - 1].method not in ("GET", "HEAD")]
        reading = [n for n in every if n not in writing]
        return spread(writing, number * 3 // 4) + spread(reading, number - number * 3 // 4)


def spread(every: Sequence[int], number: int) -> list[int]:
    """Choose so many, evenly; all where MOMENTS is 0."""
    if MOMENTS == 0 or number >= len(every):
        return list(every)
    return [every[i * (len(every) - 1) // max(number - 1, 1)] for i in range(number)]


@pytest.fixture(scope="module")
def children() -> Iterator[Publishers]:
    with publishers() as found:
        yield found


def crawl(folder: Path) -> None:
    settings = Settings(dataset=folder / "dataset", device="cpu", prune=True)
    sync([f"local:{folder / 'zoo'}"], Run(settings=settings, plugins=load()))


@pytest.fixture(scope="module", params=["the first", "a later one"])
def story(
    request: pytest.FixtureRequest, children: Publishers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    for name, seed in (("changed", 1), ("gone", 2), ("kept", 3)):
        put(folder / f"zoo/{name}.safetensors", state(seed))
    with HubServer(page_size=20) as hub:
        crawl(folder)
        if request.param == "a later one":
            found = children.publish(folder / "dataset", hub, version="v2026.11.01")
            assert found is not None
            assert found.get("what") == "published", found
            put(folder / "zoo/changed.safetensors", state(4))
            put(folder / "zoo/new.safetensors", state(5))
            (folder / "zoo/gone.safetensors").unlink()
            crawl(folder)
        yield Story(folder, children, hub)


def at(moment: int, when: str, act: Any) -> Any:
    def watch(number: int, asked: Asked, now: str) -> Fault | None:
        return act() if (number, now) == (moment, when) else None

    return watch


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_any_request(story: Story) -> None:
    for number, moment in enumerate(story.moments()):
        for when, fault in (("asked", Fault(line="before")), ("answered", Fault(line="after"))):
            if MOMENTS and (number % 2 == 0) == (when == "asked"):
                continue
            story.restore()

            def kill(fault: Fault = fault) -> Fault:
                story.children.kill()
                return fault

            story.hub.watch = at(moment, when, kill)
            assert story.run() is None, (moment, when)
            story.check_between()
            story.hub.watch = lambda number, asked, when: None
            assert story.run("published", "finished", "nothing") is not None
            story.check_done()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", FAULTS)
def test_every_request_fails_once(story: Story, kind: str) -> None:
    for moment in story.moments(MOMENTS // 2):
        if kind == "stale" and story.asked[moment - 1].method in ("GET", "HEAD"):
            continue
        story.restore()
        story.hub.watch = at(moment, "asked", lambda: FAULTS[kind])
        found = story.run()
        story.check_between()
        assert found is not None
        if "error" in found:
            assert found["error"] in ("NetworkError", "BusyError"), (moment, story.asked[moment - 1], found)
            story.run("published", "finished", "nothing")
        story.check_done()
