"""`withdraw --purge` that is killed between any two requests: no version lacks a file, and one more run ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from conftest import NOW
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.transport import network
from filtercrawl_publish.publishing import PublishOptions, publish_version
from filtercrawl_publish.repository.open import open_repository
from support.hub.server import Asked, Fault, HubServer, sha256
from support.paths import child_environment
from support.publishers import REPO, sound
from support.zoo_files import put, state

pytestmark = pytest.mark.usefixtures("forked_children")

# How many requests it is killed at, spread evenly; 0: at all of them.
MOMENTS = int(os.environ.get("FILTERCRAWL_TEST_KILLS", "4"))
PURGE = ("withdraw", REPO, "local/b.safetensors", "--reason", "asked", "--purge", "--version", "v4")


class Purge:
    """A repo with three versions, two of which hold the weights, and a command that may be killed."""

    def __init__(self, hub: HubServer, folder: Path) -> None:
        self.hub = hub
        self.folder = folder
        self.start = deepcopy((hub.datasets[REPO], hub.blobs, hub._clock))
        self.secret = {
            sha256(data)
            for commit in hub.datasets[REPO].commits
            for path, data in commit.files.items()
            if path.startswith("data/layers/local/") and "/b.safetensors" in path
        }
        assert len(self.secret) == 2

    def restore(self) -> None:
        self.hub.datasets[REPO], blobs, self.hub._clock = deepcopy(self.start)
        self.hub.blobs.clear()
        self.hub.blobs |= blobs
        self.hub.watch = lambda number, asked, when: None
        self.hub.forget()

    def run(self, moment: tuple[int, str] | None = None) -> int:
        """Run the command, killed before or after a request is acted on; returns its exit code."""
        online = {
            "HF_ENDPOINT": self.hub.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
        }
        command = [sys.executable, "-m", "filtercrawl", *PURGE]
        self.hub.forget()
        with subprocess.Popen(
            command,
            env=child_environment() | online,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as child:

            def kill(number: int, asked: Asked, when: str) -> Fault | None:
                if (number, when) != moment:
                    return None
                child.kill()
                child.wait()
                return Fault(line="before" if when == "asked" else "after")

            self.hub.watch = kill
            _, told = child.communicate()
        self.hub.watch = lambda number, asked, when: None
        assert child.returncode in (0, -9, 137), told
        return child.returncode

    def check_between(self) -> None:
        repo = self.hub.datasets[REPO]
        assert sound(repo)  # every tag that is there has all its files
        assert "v1" in repo.tags

    def check_done(self) -> None:
        repo = self.hub.datasets[REPO]
        assert sound(repo)
        assert repo.tags.keys() == {"v1", "v4"}
        assert not self.secret & {sha256(data) for commit in repo.commits for data in commit.files.values()}
        assert not self.secret & self.hub.blobs.keys()


@pytest.fixture(scope="module")
def purge(tmp_path_factory: pytest.TempPathFactory, plugins: Plugins) -> Iterator[Purge]:
    folder = tmp_path_factory.mktemp("purge")
    settings = Settings(dataset=folder / "dataset", device="cpu", engine="threads")
    with pytest.MonkeyPatch.context() as patch, HubServer(page_size=20) as hub:
        patch.setenv("HF_ENDPOINT", hub.url)
        for version, name, seed in (("v1", "a", 1), ("v2", "b", 2), ("v3", "b", 3)):
            put(folder / f"zoo/{name}.safetensors", state(seed))
            sync((f"local:{folder / 'zoo'}",), SyncContext(settings=settings, plugins=plugins, now=NOW))
            place = open_repository(REPO, network())
            publish_version(settings.dataset, place, PublishOptions(version=version, now=NOW))
        yield Purge(hub, folder)


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
def test_killed_at_any_request(purge: Purge) -> None:
    purge.restore()
    assert purge.run() == 0
    purge.check_done()
    asked = list(purge.hub.log)
    deleting = [n for n, one in enumerate(asked, 1) if one.method == "DELETE" or one.path.endswith("/lfs-files/batch")]
    assert len(deleting) == 3
    every = range(1, len(asked) + 1)
    chosen = every if MOMENTS == 0 else sorted({*deleting, *every[:: max(1, len(every) // MOMENTS)]})
    for moment in ((number, when) for number in chosen for when in ("asked", "answered")):
        purge.restore()
        assert purge.run(moment) != 0, moment
        purge.check_between()
        assert purge.run() == 0
        purge.check_done()
