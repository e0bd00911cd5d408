"""Publishers in processes of their own, which a test may kill: with imports paid once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from filtercrawl.api.errors import FiltercrawlError
from filtercrawl.dataset.card import card
from filtercrawl.dataset.files import manifest
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import RetryPolicy
from filtercrawl_publish.publishing import PublishOptions, publish_version
from filtercrawl_publish.repository.open import open_repository
from support.hub.server import HubServer, sha256
from support.hub.types import Repo
from support.paths import child_environment

DAY = datetime(2026, 11, 23, 5, tzinfo=UTC)
REPO = "org/kernels"


class Publishers:
    """Runs publishers as children of a server without threads, where forking is safe."""

    def __init__(self, server: subprocess.Popen[str], *, xet: bool) -> None:
        self.server = server
        self.xet = xet
        self.pid: int | None = None
        self._lock = threading.Lock()

    def publish(self, folder: Path, hub: HubServer | None, repo: str = REPO, **release: Any) -> dict[str, Any] | None:
        """Publish; returns what came of it, or {"error", "text"}; None if it was killed."""
        result = folder.parent / "published.json"
        result.unlink(missing_ok=True)
        job = {"folder": str(folder), "repo": repo, "hub": hub.url if hub else None, "result": str(result), **release}
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        self.pid = int(self.server.stdout.readline())
        status = int(self.server.stdout.readline())
        assert status in (0, 9), status
        if not result.is_file():
            assert status == 9
            return None
        found: dict[str, Any] = json.loads(result.read_text())
        return found

    def kill(self) -> None:
        with self._lock:
            assert self.pid is not None
            with suppress(ProcessLookupError):
                os.kill(self.pid, 9)


@contextmanager
def publishers(*, xet: bool = False) -> Iterator[Publishers]:
    environment = {**child_environment(), "HF_HUB_DISABLE_XET": "0" if xet else "1", "HF_HUB_OFFLINE": "0"}
    environment["HF_DATASETS_OFFLINE"] = "0"
    command = [sys.executable, "-m", "support.publishers"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:
        yield Publishers(server, xet=xet)
        assert server.stdin is not None
        server.stdin.close()


def content(hub: HubServer, revision: str = "main") -> dict[str, bytes]:
    """What the data of a version in the repo consist of."""
    commit = hub.datasets[REPO].at(revision)
    assert commit is not None
    return {path: data for path, data in commit.files.items() if path not in (".gitattributes", manifest.RUNS)}


def sound(repo: Repo | None) -> bool:
    """Tell whether all that a reader can see is what its manifest says; False where nothing is published yet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from filtercrawl.dataset.files.parquet import File
    from filtercrawl.dataset.files.table_files import paths_of

    if repo is None or set(repo.head.files) <= {".gitattributes"}:
        assert repo is None or not repo.tags
        return False
    for revision in ("main", *repo.tags):
        commit = repo.at(revision)
        assert commit is not None
        files = commit.files
        lists = paths_of(files, "files")
        tables = [pq.read_table(pa.BufferReader(files[path])) for path in lists]
        listed = [File(**row) for table in tables for row in table.to_pylist()]
        for file in listed:
            assert (len(files[file.path]), sha256(files[file.path])) == (file.size, file.sha256), file.path
        ours = {
            path
            for path in files
            if path.startswith((*(f"{part}/" for part in manifest.PARTS), *manifest.SINGLE_FILES))
        }
        assert ours - {manifest.RUNS} == {file.path for file in listed} | {*lists}
        tree = [File(path=path, size=len(files[path]), sha256=sha256(files[path])) for path in (*lists, card.PATH)]
        assert json.loads(files[manifest.PATH])["root"] == manifest.root_hash(tree)
    return True


def main() -> None:
    """Publish in a forked child for every job on stdin; answer its process id, then how it ended."""
    for line in sys.stdin:
        job = json.loads(line)
        if (child := os.fork()) == 0:
            _publish(job)
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the answer
        print(os.waitpid(child, 0)[1], flush=True)  # noqa: T201 - the answer


def _publish(job: dict[str, Any]) -> None:
    if job["hub"]:
        os.environ["HF_ENDPOINT"] = job["hub"]
    release = PublishOptions(
        now=datetime.fromisoformat(job.get("when", DAY.isoformat())),
        version=job.get("version"),
        dry_run=job.get("dry_run", False),
        max_disk=job.get("max_disk"),
        replace=job.get("replace", False),
    )
    try:
        place = open_repository(
            job["repo"], network(options=TransportOptions(retry=RetryPolicy(base_delay=0.02, max_delay=0.2)))
        )
        found = publish_version(Path(job["folder"]), place, release).to_dict()
    except FiltercrawlError as error:
        found = {"error": type(error).__name__, "text": str(error)}
    except BaseException as error:  # noqa: BLE001 - told to the test
        found = {"error": type(error).__name__, "text": repr(error)}
    scratch = Path(job["result"] + ".part")
    scratch.write_text(json.dumps(found))
    scratch.rename(job["result"])


if __name__ == "__main__":
    for name in ("huggingface_hub.hf_api", "pandas", "pyarrow.dataset", "filtercrawl_publish.repository.hub"):
        import_module(name)  # before the first fork: what every publisher imports

    main()
