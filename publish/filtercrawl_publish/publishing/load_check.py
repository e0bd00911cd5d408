"""Proof that a commit is what its own manifest says, and loads: looked at from outside, before it gets its tag."""

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
from filtercrawl_publish.publishing.staging import BESIDE
from filtercrawl_publish.repository.base import Repository, RepositoryFile

__all__ = ["LoadCheckJob", "TablePart", "verify_loads"]

# Configs up to this size are loaded as a whole, both ways; of larger ones the first rows.
_WHOLE: Final = 256 * 10**6
# Files of layers whose content is fetched and hashed again, of a config that is not loaded as a whole.
_SAMPLE: Final = 4
_COUNTS: Final = ("models", "layers", "kernels")
_CHILD: Final = "filtercrawl_publish.publishing.load_check_worker"


@dataclass(frozen=True, kw_only=True)
class TablePart:
    """A config to load. files: path, size and sha256 of those to fetch and hash; whole: or its first rows only."""

    name: str
    files: list[tuple[str, int, str]]
    whole: bool


@dataclass(frozen=True, kw_only=True)
class LoadCheckJob:
    """What a fresh process is to load. path, revision: as `datasets.load_dataset` takes them."""

    path: str
    revision: str | None
    parts: list[TablePart]
    counts: dict[str, int]


def verify_loads(repository: Repository, commit: str, absent: frozenset[str] = frozenset()) -> None:
    """Raise DatasetError unless the commit agrees with its manifest and every config loads, streaming and not.

    Needs nothing but the commit: sizes and hashes of all files as the place states them, the content of tables and of
    a sample of layers, counts of rows. The loading happens in a process of its own, with empty caches. absent: files
    of a folder that lie elsewhere; configs that have one are not loaded.
    """
    seen = _CommitSnapshot(
        repository=repository,
        commit=commit,
        found=repository.files(commit),
        readme=repository.read(card.PATH, commit),
        stated=_json(repository.read(manifest.PATH, commit)),
        table=repository.read(manifest.TABLE, commit),
    )
    _check_manifest(seen)
    path, revision = repository.load_location(commit)
    counts = {name: int(seen.stated["counts"][name]) for name in _COUNTS}
    parts = list(_parts(seen, absent))
    problems = _load(LoadCheckJob(path=path, revision=revision, parts=parts, counts=counts))
    if problems:
        raise DatasetError(f"{seen.where}: does not load as it should: {'; '.join(problems[:3])}")


@dataclass(frozen=True, kw_only=True)
class _CommitSnapshot:
    """What was fetched of a commit to judge it by."""

    repository: Repository
    commit: str
    found: Mapping[str, RepositoryFile]
    readme: bytes
    stated: Mapping[str, Any]
    table: bytes

    @property
    def where(self) -> str:
        return f"{self.repository.id}@{self.commit[:10]}"

    @cached_property
    def files(self) -> dict[str, File]:
        """What `data/files.parquet` lists."""
        try:
            rows = pq.read_table(pa.BufferReader(self.table), columns=["path", "size", "sha256"]).to_pylist()
        except (ValueError, pa.ArrowException) as error:
            raise DatasetError(f"{self.where}: {manifest.TABLE} cannot be read ({error})") from error
        return {row["path"]: File(**row) for row in rows}


def _json(data: bytes) -> dict[str, Any]:
    try:
        stated = json.loads(data)
        {name: int(stated["counts"][name]) for name in _COUNTS}
    except (ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{manifest.PATH}: is no manifest") from error
    return dict(stated)


def _check_manifest(seen: _CommitSnapshot) -> None:
    """Hold what the place has against the list, and the list against the manifest."""
    root = manifest.root_hash(
        [*seen.files.values(), File(path=card.PATH, size=len(seen.readme), sha256=_sha256(seen.readme))]
    )
    if root != seen.stated.get("root"):
        raise DatasetError(f"{seen.where}: its manifest is of other files than those it lists")
    for path, file in seen.files.items():
        entry = seen.found.get(path)
        if entry is None:
            raise DatasetError(f"{seen.where}: {path} is listed and missing")
        # Of a small file the Hub states git's hash, which says nothing of ours.
        digest = entry.sha256 or _sha256(seen.repository.read(path, seen.commit))
        if (entry.size, digest) != (file.size, file.sha256):
            raise DatasetError(f"{seen.where}: {path} is not what is listed")
    ours = tuple(f"{part}/" for part in manifest.PARTS)
    for path in seen.found:
        if path.startswith(ours) and path not in {*seen.files, *BESIDE}:
            raise DatasetError(f"{seen.where}: {path} is there and not listed")


def _parts(seen: _CommitSnapshot, absent: frozenset[str]) -> Iterator[TablePart]:
    """Yield the configs of the card with their files."""
    table = seen.table
    every = [*seen.files.values(), File(path=manifest.TABLE, size=len(table), sha256=_sha256(table))]
    for config in card.Card.parse(seen.readme.decode()).header.get("configs") or ():
        patterns = [path for data in config["data_files"] for path in _words(data["path"])]
        files = [file for file in every if any(fnmatchcase(file.path, pattern) for pattern in patterns)]
        if not files:
            raise DatasetError(f"{seen.where}: the config {config['config_name']} has no file")
        if not absent.isdisjoint(file.path for file in files):
            continue
        whole = sum(file.size for file in files) <= _WHOLE
        fetched = files if whole else sorted(files, key=lambda file: file.sha256)[:_SAMPLE]
        small = [file for file in fetched if whole or file.size <= _WHOLE]
        yield TablePart(
            name=config["config_name"],
            files=[(file.path, file.size, file.sha256) for file in small],
            whole=whole,
        )


def _load(job: LoadCheckJob) -> list[str]:
    """Load in a fresh process; return what is wrong."""
    with TemporaryDirectory(prefix="filtercrawl-proof-") as home:
        environment = {
            name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
        }
        environment["USE_TORCH"] = "0"  # `datasets` would import it for a second, and nothing here is a tensor
        # Caches of its own: what a cache has proves nothing, and nothing is left behind.
        for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_XET_CACHE", "HF_ASSETS_CACHE"):
            environment[name] = str(Path(home, name))
        said = Path(home, "stderr")
        with (
            said.open("w") as errors,
            subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", _CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                text=True,
            ) as child,
        ):
            assert child.stdin is not None
            child.stdin.write(json.dumps(asdict(job)) + "\n")
            child.stdin.flush()  # and stays open: the child ends when this process does
            assert child.stdout is not None
            answer = child.stdout.readline()
            child.stdin.close()
        last = said.read_text("utf-8", "replace").strip().splitlines()[-1:] or ["no answer"]
    try:
        return [str(problem) for problem in json.loads(answer)]
    except ValueError:
        raise NetworkError(f"{job.path}: could not be loaded back: {last[0]}") from None


def _words(path: str | list[str]) -> list[str]:
    return [path] if isinstance(path, str) else path


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
