"""Check that a commit is the version that its manifest states, by the sizes and digests that the repository states."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.card import card
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.table_files import paths_of
from filtercrawl_publish.publishing.staging import UNLISTED_FILES
from filtercrawl_publish.repository.base import Repository, RepositoryFile
from filtercrawl_publish.repository.digests import git_oid

__all__ = ["COUNTS", "CommitSnapshot", "check_files"]

# What the manifest counts.
COUNTS: Final = ("models", "layers", "kernels")


@dataclass(frozen=True, kw_only=True)
class CommitSnapshot:
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

    @classmethod
    def read(cls, repository: Repository, commit: str) -> CommitSnapshot:
        """Read the files of a commit that describe the others.

        Raises:
            DatasetError: It has no manifest.
            NetworkError: The Hub could not be reached.
        """
        files = repository.files(commit)
        return cls(
            repository=repository,
            commit=commit,
            files=files,
            card=repository.read(card.PATH, commit),
            manifest=_parse_manifest(repository.read(manifest.PATH, commit)),
            lists={path: repository.read(path, commit) for path in paths_of(files, "files")},
        )

    @property
    def where(self) -> str:
        """What to call it in messages."""
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

    @property
    def unlisted(self) -> list[File]:
        """The table `runs`, where there is one, as the repository states it: no list has it."""
        stored = self.files.get(manifest.RUNS)
        return [] if stored is None else [File(path=manifest.RUNS, size=stored.size, sha256=stored.sha256 or "")]


def check_files(snapshot: CommitSnapshot, folder: Path | None = None) -> None:
    """Compare the files of a commit with its file list, and this list with the manifest.

    Args:
        snapshot: The commit.
        folder: The dataset folder that it was made from. Of a small file the Hub states only the id that git derives
            from its content; where the folder has the listed content, the two are compared, and nothing is downloaded.

    Raises:
        DatasetError: They differ.
        NetworkError: The Hub could not be reached.
    """
    about_card = _file(card.PATH, snapshot.card)
    root = manifest.root_of(snapshot.list_files, about_card, snapshot.listed.values())
    if root != snapshot.manifest.get("root"):
        raise DatasetError(f"{snapshot.where}: {manifest.PATH} does not match the listed files")
    for path, file in snapshot.listed.items():
        stored = snapshot.files.get(path)
        if stored is None:
            raise DatasetError(f"{snapshot.where}: {path} is listed but missing")
        if stored.size != file.size or (stored.sha256 or _digest(snapshot, file, stored, folder)) != file.sha256:
            raise DatasetError(f"{snapshot.where}: {path} differs from {manifest.TABLE}")
    owned = tuple(f"{part}/" for part in manifest.PARTS)
    known = {*snapshot.listed, *snapshot.lists, *UNLISTED_FILES}
    for path in snapshot.files:
        if path not in known and (path.startswith(owned) or path in manifest.SINGLE_FILES):
            raise DatasetError(f"{snapshot.where}: {path} is not listed in {manifest.TABLE}")


def _digest(snapshot: CommitSnapshot, file: File, stored: RepositoryFile, folder: Path | None) -> str:
    """Return the SHA-256 of a file for which the repository states none."""
    if folder is not None and (folder / file.path).is_file():
        data = (folder / file.path).read_bytes()
        if git_oid(data) == stored.oid:
            return _sha256(data)
    return _sha256(snapshot.repository.read(file.path, snapshot.commit))


def _parse_manifest(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
        {name: int(content["counts"][name]) for name in COUNTS}
    except (ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{manifest.PATH}: not a manifest") from error
    return dict(content)


def _file(path: str, data: bytes) -> File:
    return File(path=path, size=len(data), sha256=_sha256(data))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
