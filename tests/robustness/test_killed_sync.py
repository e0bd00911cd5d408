"""A run that is killed at any moment leaves a sound folder, and the next run ends with the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.dataset.card.card import Card
from filtercrawl.dataset.files import layers_writer
from filtercrawl.dataset.tables import staged_layers
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl_publish.verification import verify_folder
from support.paths import child_environment
from support.zoo_files import models, published, put, state, table

# How many moments of each story are tried, evenly spread; each takes a third of a second. 0: all of them.
MOMENTS = int(os.environ.get("FILTERCRAWL_TEST_KILLS", "8"))
STORIES = ("from nothing", "an update")


class Victim:
    """Dies by SIGKILL at its n-th event: a file opened for writing, renamed, removed or synced, a statement of SQL."""

    def __init__(self, moment: int | None) -> None:
        self.moment = moment
        self.seen = 0

    def tick(self) -> None:
        self.seen += 1
        if self.seen == self.moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        sys.addaudithook(self._heard)
        flush, connect = os.fsync, sqlite3.connect

        def fsync(descriptor: int) -> None:
            self.tick()
            flush(descriptor)
            self.tick()

        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            database: sqlite3.Connection = connect(*arguments, **options)
            database.set_trace_callback(lambda _: self.tick())
            return database

        os.fsync, sqlite3.connect = fsync, traced

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
            self.tick()


def go(folder: Path, moment: int | None = None) -> int:
    """Sync in this process; returns the number of events, or does not return."""
    staged_layers.ROW_NUMBERS = 100  # so that small layers come in parts
    layers_writer.ROW_GROUP_BYTES = 1024
    victim = Victim(moment)
    victim.watch()
    settings = Settings(dataset=folder / "dataset", device="cpu", engine="threads", prune=True)
    run = SyncContext(settings=settings, plugins=load_plugins(), now=datetime(2026, 1, 2, tzinfo=UTC))
    sync([f"local:{folder / 'zoo'}"], run)
    return victim.seen


def serve() -> None:
    """Read `folder moment` lines, sync in a forked child for each, answer how it ended: with imports paid once."""
    load_plugins()
    for line in sys.stdin:
        folder, moment = json.loads(line)
        if (child := os.fork()) == 0:
            Path(folder, "events").write_text(str(go(Path(folder), moment)))
            os._exit(0)
        print(os.waitpid(child, 0)[1], flush=True)  # noqa: T201 - the answer


class Children:
    """Runs syncs in children of a server without threads, where forking is safe."""

    def __init__(self, server: subprocess.Popen[str], folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.dataset = folder / "dataset"

    def sync(self, moment: int | None = None) -> bool:
        """Sync, to be killed at an event; tells whether it came to its end."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps([str(self.folder), moment]) + "\n")
        self.server.stdin.flush()
        status = int(self.server.stdout.readline())
        assert status in (0, signal.SIGKILL), status
        return status == 0

    def events(self) -> int:
        return int((self.folder / "events").read_text())

    def restore(self, story: Path) -> None:
        shutil.rmtree(self.dataset, ignore_errors=True)
        if story.is_dir():
            shutil.copytree(story, self.dataset)


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    command = [sys.executable, __file__]
    with subprocess.Popen(
        command, env=child_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        yield Children(server, tmp_path_factory.mktemp("kill"))
        assert server.stdin is not None
        server.stdin.close()


@pytest.fixture(scope="module")
def before(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of a first zoo, as it lies on disk; afterwards the zoo is what the second run finds."""
    zoo = children.folder / "zoo"
    for name, seed in (("b", 1), ("c", 1), ("changed", 2), ("gone", 3), ("kept/twin", 3), ("old", 4), ("worse", 5)):
        put(zoo / f"{name}.safetensors", state(seed))
    assert children.sync()
    place = tmp_path_factory.mktemp("before") / "dataset"
    shutil.copytree(children.dataset, place)
    put(zoo / "changed.safetensors", state(6))
    put(zoo / "a.safetensors", state(1))  # the first of its kind from now on
    (zoo / "gone.safetensors").unlink()  # its twin takes over
    (zoo / "old.safetensors").rename(zoo / "renamed.safetensors")
    (zoo / "worse.safetensors").write_bytes(b"no longer a checkpoint")
    torch.save({"state_dict": state(6)}, zoo / "same.pth")  # as `changed`, in another format
    put(zoo / "new.safetensors", {"wide.weight": torch.arange(400.0).view(4, 4, 5, 5)})
    return place


def check_between(dataset: Path) -> None:
    """Whatever moment it was: what is there is whole, and what is named is there."""
    for path in (dataset / "data").rglob("*.parquet"):
        pq.read_table(path)
    for row in table(dataset, "index"):
        assert row["file"] is None or (dataset / row["file"]).is_file()
    for row in models(dataset).values():
        assert row["layers_file"] is None or (dataset / row["layers_file"]).is_file()
    if (dataset / "README.md").is_file():
        header = Card.parse((dataset / "README.md").read_text()).header
        for config in header["configs"]:
            for data in config["data_files"]:
                patterns = data["path"] if isinstance(data["path"], list) else [data["path"]]
                assert all(list(dataset.glob(pattern)) for pattern in patterns)


@pytest.mark.exhaustive
@pytest.mark.parametrize("story", STORIES)
def test_killed_at_any_moment(children: Children, before: Path, story: str) -> None:
    start = before if story == "an update" else before / "nothing"
    children.restore(start)
    assert children.sync()
    expected, events = published(children.dataset), children.events()
    assert list(verify_folder(children.dataset)) == []
    assert {row["outcome"] for row in models(children.dataset).values()} >= {"emitted", "duplicate", "failed"}
    tried = range(1, events + 1) if MOMENTS == 0 else sorted({1 + i * (events - 1) // MOMENTS for i in range(MOMENTS)})
    for number, moment in enumerate(tried):
        children.restore(start)
        assert not children.sync(moment)
        check_between(children.dataset)
        if number % 3 == 2:  # the run that mends is killed too
            children.sync(1 + moment // 2)
            check_between(children.dataset)
        assert children.sync()
        assert published(children.dataset) == expected, f"killed at event {moment} of {events}"
        assert list((children.dataset / ".filtercrawl/tmp").iterdir()) == []
    assert list(verify_folder(children.dataset)) == []


if __name__ == "__main__":
    serve()
