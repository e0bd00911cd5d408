"""A sync into an object store that is killed between any two requests: the next one ends with the same objects."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.config.dataset_url import working_folder
from filtercrawl.dataset.files.manifest import ABOUT_RUNS
from filtercrawl.dataset.object_store.commits import blob
from filtercrawl.pipeline.sync import SyncContext, sync
from support.object_store import ObjectStoreServer, object_store_server
from support.paths import child_environment
from support.zoo_files import put, state

# How many moments of each scenario are tried, evenly spread; each takes a second. 0: all of them.
MOMENTS = int(os.environ.get("FILTERCRAWL_TEST_KILLS", "8"))


def go(folder: Path, url: str) -> None:
    settings = Settings(
        dataset=working_folder(url, folder / "cache"),
        dataset_url=url,
        cache=folder / "cache",
        device="cpu",
        engine="threads",
        prune=True,
    )
    context = SyncContext(settings=settings, plugins=load_plugins(), now=datetime(2026, 1, 2, tzinfo=UTC))
    sync([f"local:{folder / 'zoo'}"], context)


def serve() -> None:
    """Read `folder url` lines, sync in a forked child for each, answer its process and how it ended."""
    load_plugins()
    for line in sys.stdin:
        folder, url = json.loads(line)
        if (child := os.fork()) == 0:
            os.kill(os.getpid(), signal.SIGSTOP)  # until the server knows when to kill it
            go(Path(folder), url)
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the answer
        print(os.waitpid(child, 0)[1], flush=True)  # noqa: T201 - the answer


class Children:
    """Runs syncs in children of a server without threads, where forking is safe."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, store: ObjectStoreServer) -> None:
        self.process, self.folder, self.store = process, folder, store
        self.url = f"s3://{store.new_bucket()}/kernels"

    def sync(self, moment: int | None = None) -> bool:
        """Sync, to be killed after a request; tells whether it came to its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(self.folder), self.url]) + "\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        self.store.requests.clear()

        def kill(number: int) -> None:
            if moment is not None and number >= moment:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)

        self.store.after_request = kill
        while "T (stopped)" not in Path(f"/proc/{child}/status").read_text():
            time.sleep(0.001)
        os.kill(child, signal.SIGCONT)
        status = int(self.process.stdout.readline())
        self.store.after_request = lambda _: None
        assert status in (0, signal.SIGKILL), status
        return status == 0

    def restore(self, objects: dict[str, bytes], cache: Path) -> None:
        """Bring the store and the folders of the machine to an earlier state."""
        client = self.store.files()
        if client.exists(self.url):
            client.rm(self.url, recursive=True)
        for path, content in objects.items():
            client.pipe_file(f"{self.url}/{path}", content)
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        if cache.is_dir():
            shutil.copytree(cache, self.folder / "cache")

    def lose_machine(self) -> None:
        """Leave nothing but the store, and let the time pass after which another machine may work on it."""
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        self.store.expire_leases(self.url)

    def objects(self) -> dict[str, bytes]:
        """What the store has, but for what differs from run to run: numbers of commits, leases, times."""
        found = self.store.objects(self.url, hidden=True)
        numbered = (".filtercrawl/commits/", ".filtercrawl/leases/")
        about_runs = {*ABOUT_RUNS, *(blob(sha256(found[path]).hexdigest()) for path in ABOUT_RUNS & found.keys())}
        return {
            path: content for path, content in found.items() if not path.startswith(numbered) and path not in about_runs
        }


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    pytest.importorskip("moto", reason="the extra `test` is not installed")
    with object_store_server() as store:
        environment = child_environment() | store.environment
        with subprocess.Popen(
            [sys.executable, __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            yield Children(process, tmp_path_factory.mktemp("kill"), store)
            assert process.stdin is not None
            process.stdin.close()


def check_killed(children: Children, objects: dict[str, bytes], cache: Path, moments: int) -> None:
    """Kill a run at moments that are spread over its requests, on this machine, and on one that is lost then."""
    children.restore(objects, cache)
    assert children.sync()
    requests = len(children.store.requests)
    expected = children.objects()
    tried = range(1, requests) if moments == 0 else sorted({1 + i * (requests - 2) // moments for i in range(moments)})
    for number, moment in enumerate(tried):
        children.restore(objects, cache)
        assert not children.sync(moment)
        if number % 2:
            children.lose_machine()
        assert children.sync()
        assert children.objects() == expected, f"killed after request {moment} of {requests}"
    assert children.sync()
    assert children.objects() == expected


@pytest.mark.exhaustive
def test_killed_in_the_middle(children: Children) -> None:
    for name, seed in (("a", 1), ("b", 2), ("twin", 2)):
        put(children.folder / "zoo" / f"{name}.safetensors", state(seed))
    check_killed(children, {}, children.folder / "none", 2)


@pytest.mark.exhaustive
def test_killed_at_any_moment(children: Children, tmp_path: Path) -> None:
    zoo = children.folder / "zoo"
    for name, seed in (("a", 1), ("b", 2), ("twin", 2), ("gone", 5)):
        put(zoo / f"{name}.safetensors", state(seed))
    check_killed(children, {}, tmp_path / "none", MOMENTS)
    objects, cache = children.store.objects(children.url, hidden=True), tmp_path / "before"
    shutil.copytree(children.folder / "cache", cache)
    put(zoo / "a.safetensors", state(3))
    (zoo / "b.safetensors").unlink()  # its twin takes over
    (zoo / "gone.safetensors").unlink()
    check_killed(children, objects, cache, MOMENTS)


if __name__ == "__main__":
    serve()
