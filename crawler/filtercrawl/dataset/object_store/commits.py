"""The commits of a dataset in an object store: each names every file of one state of the dataset.

A commit is an object whose name is a number, created only where there is none: of two writers that continue the same
state one succeeds. The highest number is the dataset. Commits are replaced as a whole and hold no weights, so that
they are small: `files`, one of the tables that they name, lists the layers files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import CheckpointError, DatasetError
from filtercrawl.api.range_file import relative_path
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.object_store.numbered import NumberedObjects
from filtercrawl.dataset.object_store.objects import ObjectStore

__all__ = ["REPAIR", "Commit", "CommitLog", "blob"]

# What to do about a commit, or a file that it names, that is damaged: what readers read does not depend on it.
REPAIR: Final = (
    "copy the dataset without .filtercrawl into a folder, sync that and go on there; or start at another URL"
)

_FOLDER: Final = f"{HIDDEN}/commits"
_BLOBS: Final = f"{HIDDEN}/files"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FORMAT: Final = 1


def blob(sha256: str) -> str:
    """Return the path of the object that has the content of a file, whatever state of the dataset it is of."""
    return f"{_BLOBS}/{sha256}"


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One state of a dataset.

    Attributes:
        number: Its place in the history, from 1.
        id: A random name: two commits of one number, of which only one came to be, differ in it.
        files: All files but the layers, by path.
    """

    number: int
    id: str
    files: Mapping[str, File]

    def to_json(self) -> bytes:
        """Return the object's content."""
        files = [[file.path, file.size, file.sha256] for _, file in sorted(self.files.items())]
        return json.dumps({"format": _FORMAT, "id": self.id, "files": files}, indent=0).encode()

    @classmethod
    def parse(cls, number: int, content: bytes, name: str) -> Commit:
        """Read the object's content; `name` is what to call it in errors.

        Raises:
            DatasetError: It is no commit that this version reads.
        """
        try:
            stated = json.loads(content)
            if stated["format"] != _FORMAT:
                raise DatasetError(f"{name}: was written by a newer filtercrawl; update filtercrawl")
            files = [File(path=str(path), size=int(size), sha256=str(sha256)) for path, size, sha256 in stated["files"]]
            for file in files:
                if relative_path(file.path).parts[0].startswith(".") or not _SHA256.fullmatch(file.sha256):
                    raise ValueError(file.path)
            return cls(number=number, id=str(stated["id"]), files={file.path: file for file in files})
        except (ValueError, KeyError, TypeError, RecursionError, CheckpointError) as error:
            raise DatasetError(f"{name}: is damaged ({error}); {REPAIR}") from error


class CommitLog:
    """The commits in a store, of which the last counts."""

    def __init__(self, store: ObjectStore) -> None:
        self._store, self._commits = store, NumberedObjects(store, _FOLDER)

    def latest(self) -> Commit | None:
        """Return the last commit; None for an empty store."""
        number, content = self._commits.read_last()
        return Commit.parse(number, content, f"{self._store.url}/{self._commits.path(number)}") if number else None

    def is_empty(self) -> bool:
        """Tell whether there is no commit."""
        return not self._commits.last()

    def append(self, commit: Commit) -> bool:
        """Add a commit behind the one that it continues; False where another writer has added one."""
        if not self._store.create(self._commits.path(commit.number), commit.to_json()):
            return False
        # A writer that slept may find its number free again, since old commits are deleted: it is not the last then.
        return self._commits.last() == commit.number

    def delete_before(self, commit: Commit) -> None:
        """Delete the commits before one."""
        self._commits.delete_before(commit.number)

    def delete_unused_blobs(self, commit: Commit) -> None:
        """Delete all contents of files that a commit does not name; lists the store."""
        used = {blob(file.sha256) for file in commit.files.values()}
        self._store.delete([path for path in self._store.list(_BLOBS) if path not in used])
