"""Where versions are published: a dataset repo on the Hub or a folder, behind the same few methods."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from filtercrawl.dataset.files.parquet import File

__all__ = ["CommitOperations", "Repository", "RepositoryFile", "git_oid"]


@dataclass(frozen=True, kw_only=True)
class RepositoryFile:
    """What a remote says of one file: its size in bytes and its sha256, or for a small file its git oid (hex)."""

    size: int
    sha256: str | None = None
    oid: str | None = None

    def is_file(self, path: Path, sha256: str | None = None) -> bool:
        """Tell whether it is the file at `path`; sha256: of that file where it is known, else the file is read."""
        if path.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return self.sha256 == (sha256 or _sha256(path))
        return self.oid == git_oid(path.read_bytes())


@dataclass(frozen=True, kw_only=True)
class CommitOperations:
    """What one commit changes.

    add: path in the repo -> local file. uploaded: path in the repo -> a file whose content the place has, as `upload`
    or
    `uploaded` said. delete: paths. copy: path in the repo -> (path, revision) in the same repo.
    """

    add: Mapping[str, Path] = field(default_factory=dict)
    uploaded: Mapping[str, File] = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    copy: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.add or self.uploaded or self.delete or self.copy)


class Repository(Protocol):
    """A place that holds versions of one dataset; methods raise NetworkError, ForbiddenError and GoneError."""

    @property
    def id(self) -> str:
        """`org/name`, or the folder as it was given."""
        ...

    @property
    def revision(self) -> str | None:
        """What stood behind `@` where it was named; None for the head."""
        ...

    @property
    def url(self) -> str:
        """What `datasets.load_dataset` takes."""
        ...

    def head(self) -> str | None:
        """Return the commit that readers see who name no revision; None where nothing is published yet."""
        ...

    def tags(self) -> dict[str, str]:
        """Return tag -> commit."""
        ...

    def resolve(self, revision: str | None = None) -> str:
        """Return the commit of a tag, of (the beginning of) a commit, by default of `self.revision` or the head.

        Raises UsageError where there is none.
        """
        ...

    def load_location(self, commit: str) -> tuple[str, str | None]:
        """Return the path and the revision by which `datasets.load_dataset` opens a commit."""
        ...

    def title(self, commit: str) -> str:
        """Return the title that a commit was made with."""
        ...

    def files(self, revision: str) -> dict[str, RepositoryFile]:
        """Return path -> what is known of the file, for every file of a version."""
        ...

    def read(self, path: str, revision: str) -> bytes:
        """Return the content of one small file; raises GoneError where there is none."""
        ...

    def fetch(self, paths: Iterable[str], revision: str, folder: Path) -> None:
        """Bring files into `folder`, below which they get their paths; those that are there already stay."""
        ...

    def upload(self, add: Mapping[str, Path]) -> frozenset[str]:
        """Send the content of large files ahead of the commit that names them; nobody sees them until then.

        Returns the paths that went; small files may go with the commit. What went can be committed as held.
        """
        ...

    def uploaded(self, files: Collection[File]) -> frozenset[str]:
        """Return the paths of those large files, sent before, whose content the place has, though no version names it.

        Where it cannot tell, it may name one that is lost: a commit of that raises GoneError.
        """
        ...

    def commit(self, operations: CommitOperations, parent: str | None, title: str, body: str) -> str:
        """Make ONE commit on top of `parent` (None: the repo is made first) and return it.

        An answer that was lost is looked up: either the commit is there, or it is tried again. Raises BusyError
        where the head is no longer `parent`.
        """
        ...

    def tag(self, name: str, commit: str, message: str) -> None:
        """Tag a commit; nothing happens where it has that tag already. Raises BusyError where another one has it."""
        ...


def git_oid(data: bytes) -> str:
    """Return what git calls a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
