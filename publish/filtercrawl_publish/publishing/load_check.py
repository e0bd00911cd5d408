"""Check after the commit, before the tag: does it match its manifest, and does every config load as a reader would?"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError, NetworkError
from filtercrawl.dataset.card import card
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.table_files import paths_of
from filtercrawl_publish.publishing.staging import UNLISTED_FILES
from filtercrawl_publish.repository.base import Repository, RepositoryFile

__all__ = ["LoadCheckJob", "TablePart", "verify_loads"]

# Configs up to this size are loaded in full, streaming and not; of larger ones only the first rows.
_FULL_LOAD_BYTES: Final = 256 * 10**6
# Layers files that are downloaded and hashed of a config that is not loaded in full.
_SAMPLE_FILES: Final = 4
_COUNTS: Final = ("models", "layers", "kernels")
_WORKER_MODULE: Final = "filtercrawl_publish.publishing.load_check_worker"


@dataclass(frozen=True, kw_only=True)
class TablePart:
    """One split of a config to load.

    Attributes:
        name: Of the config.
        split: Of the config.
        files: (path, size, SHA-256) of the files to download and hash.
        whole: Whether to load all rows; otherwise the first one is enough.
    """

    name: str
    split: str
    files: list[tuple[str, int, str]]
    whole: bool


@dataclass(frozen=True, kw_only=True)
class LoadCheckJob:
    """The task of the worker process, sent as JSON.

    Attributes:
        path: Argument of `datasets.load_dataset`.
        revision: Argument of `datasets.load_dataset`; None for a folder.
        parts: The configs.
        counts: `models`, `layers` and `kernels` that the manifest states.
    """

    path: str
    revision: str | None
    parts: list[TablePart]
    counts: dict[str, int]


def verify_loads(repository: Repository, commit: str, absent: frozenset[str] = frozenset()) -> None:
    """Check a commit using nothing but the repository.

    Compares sizes and digests of all files as the repository states them with the file list, and its root hash with
    the manifest. Then a worker process with empty caches loads every config with `datasets`, streaming and not, and
    compares the number of rows; of large configs it reads the first rows and the digests of a few files.

    Args:
        repository: Where the commit is.
        commit: Full id.
        absent: Files of a local folder without a local copy; configs that contain one are not loaded.

    Raises:
        DatasetError: The commit is inconsistent or does not load.
        NetworkError: It could not be loaded at all.
    """
    snapshot = _CommitSnapshot(
        repository=repository,
        commit=commit,
        files=repository.files(commit),
        card=repository.read(card.PATH, commit),
        manifest=_parse_manifest(repository.read(manifest.PATH, commit)),
        lists={path: repository.read(path, commit) for path in paths_of(repository.files(commit), "files")},
    )
    _check_manifest(snapshot)
    path, revision = repository.load_location(commit)
    counts = {name: int(snapshot.manifest["counts"][name]) for name in _COUNTS}
    parts = list(_parts(snapshot, absent))
    problems = _load(LoadCheckJob(path=path, revision=revision, parts=parts, counts=counts))
    if problems:
        raise DatasetError(f"{snapshot.where}: does not load correctly: {'; '.join(problems[:3])}")


@dataclass(frozen=True, kw_only=True)
class _CommitSnapshot:
    """The parts of a commit that are checked.

    Attributes:
        repository: Where it is.
        commit: Full id.
        files: What the repository states about each file.
        card: README.md.
        manifest: Parsed manifest.json.
        lists: The files of `files` by path.
    """

    repository: Repository
    commit: str
    files: Mapping[str, RepositoryFile]
    card: bytes
    manifest: Mapping[str, Any]
    lists: Mapping[str, bytes]

    @property
    def where(self) -> str:
        return f"{self.repository.id}@{self.commit[:10]}"

    @cached_property
    def listed(self) -> dict[str, File]:
        """The rows of the file list by path."""
        try:
            tables = [
                pq.read_table(pa.BufferReader(data), columns=["path", "size", "sha256"]) for data in self.lists.values()
            ]
        except (ValueError, pa.ArrowException) as error:
            raise DatasetError(f"{self.where}: {manifest.TABLE} cannot be read ({error})") from error
        return {row["path"]: File(**row) for table in tables for row in table.to_pylist()}

    @cached_property
    def list_files(self) -> list[File]:
        """The files of `files`."""
        return [_file(path, data) for path, data in self.lists.items()]


def _parse_manifest(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
        {name: int(content["counts"][name]) for name in _COUNTS}
    except (ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{manifest.PATH}: not a manifest") from error
    return dict(content)


def _check_manifest(snapshot: _CommitSnapshot) -> None:
    """Compare the repository with the file list, and the file list with the manifest."""
    about_card = _file(card.PATH, snapshot.card)
    root = manifest.root_of(snapshot.list_files, about_card, snapshot.listed.values())
    if root != snapshot.manifest.get("root"):
        raise DatasetError(f"{snapshot.where}: {manifest.PATH} does not match the listed files")
    for path, file in snapshot.listed.items():
        stored = snapshot.files.get(path)
        if stored is None:
            raise DatasetError(f"{snapshot.where}: {path} is listed but missing")
        # For a small file the Hub states only a git id, which cannot be compared with a SHA-256.
        digest = stored.sha256 or _sha256(snapshot.repository.read(path, snapshot.commit))
        if (stored.size, digest) != (file.size, file.sha256):
            raise DatasetError(f"{snapshot.where}: {path} differs from {manifest.TABLE}")
    owned = tuple(f"{part}/" for part in manifest.PARTS)
    for path in snapshot.files:
        ours = path.startswith(owned) or path in manifest.SINGLE_FILES
        if ours and path not in {*snapshot.listed, *snapshot.lists, *UNLISTED_FILES}:
            raise DatasetError(f"{snapshot.where}: {path} is not listed in {manifest.TABLE}")


def _parts(snapshot: _CommitSnapshot, absent: frozenset[str]) -> Iterator[TablePart]:
    """Yield the splits of the card's configs with the files to download."""
    all_files = [*snapshot.listed.values(), *snapshot.list_files]
    configs = card.Card.parse(snapshot.card.decode()).header.get("configs") or ()
    for config, data in [(entry, data) for entry in configs for data in entry["data_files"]]:
        patterns = _as_list(data["path"])
        files = [file for file in all_files if any(fnmatchcase(file.path, pattern) for pattern in patterns)]
        if not files:
            raise DatasetError(f"{snapshot.where}: the config {config['config_name']} has no file")
        if not absent.isdisjoint(file.path for file in files):
            continue
        whole = sum(file.size for file in files) <= _FULL_LOAD_BYTES
        sample = files if whole else sorted(files, key=lambda file: file.sha256)[:_SAMPLE_FILES]
        small = [file for file in sample if whole or file.size <= _FULL_LOAD_BYTES]
        yield TablePart(
            name=config["config_name"],
            split=data["split"],
            files=[(file.path, file.size, file.sha256) for file in small],
            whole=whole,
        )


def _load(job: LoadCheckJob) -> list[str]:
    """Run the worker process; return the problems it found.

    Raises:
        NetworkError: It ended without an answer.
    """
    with TemporaryDirectory(prefix="filtercrawl-load-check-") as caches:
        environment = {
            name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
        }
        environment["USE_TORCH"] = "0"  # `datasets` would spend a second on importing it, and needs no tensor here
        # Empty caches: only what is downloaded now proves anything, and nothing is left behind.
        for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_XET_CACHE", "HF_ASSETS_CACHE"):
            environment[name] = str(Path(caches, name))
        stderr = Path(caches, "stderr")
        with (
            stderr.open("w") as errors,
            subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", _WORKER_MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                text=True,
            ) as worker,
        ):
            assert worker.stdin is not None
            worker.stdin.write(json.dumps(asdict(job)) + "\n")
            worker.stdin.flush()  # stdin stays open: when this process is killed, it closes and the worker exits
            assert worker.stdout is not None
            answer = worker.stdout.readline()
            worker.stdin.close()
        last = stderr.read_text("utf-8", "replace").strip().splitlines()[-1:] or ["no answer"]
    try:
        return [str(problem) for problem in json.loads(answer)]
    except ValueError:
        raise NetworkError(f"{job.path}: could not be loaded: {last[0]}") from None


def _as_list(path: str | list[str]) -> list[str]:
    return [path] if isinstance(path, str) else path


def _file(path: str, data: bytes) -> File:
    return File(path=path, size=len(data), sha256=_sha256(data))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
