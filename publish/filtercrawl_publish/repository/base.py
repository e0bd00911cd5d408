"""The repository interface that the Hub and folders implement, and its records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.repository.digests import file_sha256, git_oid

__all__ = ["CommitOperations", "Repository", "RepositoryFile"]


@dataclass(frozen=True, kw_only=True)
class RepositoryFile:
    """What a repository states about one file.

    Attributes:
        size: In bytes.
        sha256: Hex digest; None for small files that the Hub stores in git.
        oid: Git object id, 40 hex digits; None where the repository has none.
    """

    size: int
    sha256: str | None = None
    oid: str | None = None

    def is_file(self, path: Path, sha256: str | None = None) -> bool:
        """Return whether the local file has this content.

        Args:
            path: The local file.
            sha256: Its digest if known; otherwise the file is read.
        """
        if path.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return self.sha256 == (sha256 or file_sha256(path))
        return self.oid == git_oid(path.read_bytes())


@dataclass(frozen=True, kw_only=True)
class CommitOperations:
    """The changes of one commit; paths are relative to the root of the repository.

    Attributes:
        add: Path to local file.
        uploaded: Path to a file whose content the repository already has, as reported by `Repository.upload` or
            `Repository.uploaded`.
        delete: Paths.
        copy: Path to `(path, revision)` in the same repository.
    """

    add: Mapping[str, Path] = field(default_factory=dict)
    uploaded: Mapping[str, File] = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    copy: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.add or self.uploaded or self.delete or self.copy)


class Repository(Protocol):
    """A store of versions of one dataset: commits, and tags that never move.

    All methods may raise NetworkError, AccessDeniedError and NotFoundError.
    """

    @property
    def id(self) -> str:
        """`org/name`, or the folder as the user wrote it."""
        ...

    @property
    def hub_id(self) -> str | None:
        """`org/name` on the Hub; None for a folder, whose path is not to be published."""
        ...

    @property
    def revision(self) -> str | None:
        """The part behind `@` of the name that it was opened by; None for the head."""
        ...

    @property
    def url(self) -> str:
        """The path argument for `datasets.load_dataset`."""
        ...

    def check_writable(self) -> None:
        """Check that a version can be written here at all; sends no request.

        Raises:
            PolicyError: The folder holds something else than versions.
            DatasetError: The folder above it cannot be written.
        """
        ...

    def check_token(self) -> None:
        """Check that the token may write here; one request, and none where no token is needed.

        Raises:
            AccessDeniedError: It may not.
        """
        ...

    def clock_error(self) -> timedelta | None:
        """Return how far the clock of this machine is ahead of the server's, by its last response.

        None where there is no server, or where it has not said.
        """
        ...

    def refs(self) -> tuple[str | None, dict[str, str]]:
        """Return the head and the commit of each tag, as of one moment."""
        ...

    def head(self) -> str | None:
        """Return the commit that readers get who name no revision; None before the first one."""
        ...

    def tags(self) -> dict[str, str]:
        """Return the commit of each tag."""
        ...

    def resolve(self, revision: str | None = None) -> str:
        """Return the commit of a revision.

        Args:
            revision: A tag, a commit or the first 7 or more digits of one; by default `self.revision`, then the head.

        Raises:
            UsageError: There is no such revision.
        """
        ...

    def load_location(self, commit: str) -> tuple[str, str | None]:
        """Return the arguments `path` and `revision` with which `datasets.load_dataset` opens a commit."""
        ...

    def title(self, commit: str) -> str:
        """Return the title of a commit."""
        ...

    def history(self, commit: str) -> Sequence[str]:
        """Return a commit and those before it, the latest first; a folder knows only the commit itself."""
        ...

    def files(self, revision: str) -> Mapping[str, RepositoryFile]:
        """Return every file of a revision by path."""
        ...

    def read(self, path: str, revision: str) -> bytes:
        """Return the content of one small file.

        Raises:
            NotFoundError: The revision has no such file.
        """
        ...

    def fetch(self, paths: Iterable[str], revision: str, folder: Path) -> None:
        """Download files to the same paths below `folder`.

        Each file is verified and appears atomically. Files that are there already with the right content are kept.

        Raises:
            NotFoundError: The revision lacks one of them.
        """
        ...

    def upload(self, add: Mapping[str, Path]) -> frozenset[str]:
        """Upload the content of large files before the commit that names them; readers see nothing of it.

        Returns:
            The paths that were uploaded, for `CommitOperations.uploaded`. Small files may be left for the commit.
        """
        ...

    def uploaded(self, files: Collection[File]) -> frozenset[str]:
        """Return the paths whose content was uploaded before and is still stored, though no version names it.

        Where the repository cannot tell it may include lost ones; committing these raises NotFoundError.
        """
        ...

    def commit(self, operations: CommitOperations, parent: str | None, title: str, body: str) -> str:
        """Create one commit, atomically.

        If the response is lost, the repository is asked whether the commit exists before it is tried again.

        Args:
            operations: What changes.
            parent: The expected head; None creates the repository first.
            title: The first line of the message.
            body: The rest of the message.

        Returns:
            The new commit.

        Raises:
            ConflictError: The head is no longer `parent`.
            NotFoundError: Uploaded content is gone.
        """
        ...

    def tag(self, name: str, commit: str, message: str) -> None:
        """Create a tag; does nothing if the commit has it already.

        Raises:
            ConflictError: Another commit has this tag.
        """
        ...
