"""Files and checkpoints of a repository at one commit, from the Hub or from the state of a previous run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, PreviousState, RemoteFile
from filtercrawl_plugins.sources.hub.weight_files import WeightFiles

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling


@dataclass(frozen=True, kw_only=True)
class RepoFile:
    """A file at a commit.

    Attributes:
        path: Path in the repository.
        size: Bytes.
        sha256: Hash of an LFS file; None for any other.
        git_oid: Git object id of the file.
    """

    path: str
    size: int | None
    sha256: str | None
    git_oid: str | None

    @classmethod
    def from_sibling(cls, sibling: RepoSibling) -> RepoFile:
        """Return a file as the Hub's client describes it."""
        lfs = sibling.lfs
        size = lfs.size if lfs else sibling.size
        return cls(path=sibling.rfilename, size=size, sha256=lfs.sha256 if lfs else None, git_oid=sibling.blob_id)

    @property
    def content_id(self) -> str | None:
        """Identifier of the content: changes exactly when the bytes change."""
        return self.sha256 or (f"git:{self.git_oid}" if self.git_oid else None)

    def to_remote_file(self, repo_revision: RepoRevision) -> RemoteFile:
        """Return the file with its URL at a commit."""
        return RemoteFile(
            url=repo_revision.url(self.path),
            size=self.size,
            sha256=self.sha256,
            etag=self.sha256 or self.git_oid,
            path=self.path,
        )


@dataclass(frozen=True, kw_only=True)
class RepoRevision:
    """A repository at a commit."""

    endpoint: str
    repo: str
    commit: str

    def url(self, path: str) -> str:
        """Return the download URL of a file."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.repo, path, revision=self.commit, endpoint=self.endpoint)

    def name(self, weights: WeightFiles) -> str:
        """Return the name of a checkpoint: `ORG/REPO/PATH`."""
        return f"{self.repo}/{weights.main}"


def make_checkpoint(repo_revision: RepoRevision, files: Sequence[RepoFile], meta: CheckpointMetadata) -> Checkpoint:
    """Return a checkpoint; other commits to the repository do not change its revision.

    Args:
        repo_revision: The repository.
        files: Files of the checkpoint, the main one first.
        meta: What is previous about it.
    """
    return Checkpoint(
        name=f"{repo_revision.repo}/{files[0].path}",
        revision=content_revision(files),
        files=tuple(file.to_remote_file(repo_revision) for file in files),
        meta=meta,
    )


def content_revision(files: Sequence[RepoFile]) -> str | None:
    """Return the content id of a single file, or the sha256 over `ID  PATH` lines; None if an id is unknown."""
    if any(file.content_id is None for file in files):
        return None
    if len(files) == 1:
        return files[0].content_id
    return hashlib.sha256("".join(f"{file.content_id}  {file.path}\n" for file in files).encode()).hexdigest()


def state_for_next_run(repo_revision: RepoRevision, files: Sequence[RepoFile]) -> dict[str, Any]:
    """Return what is stored in `meta.extra`, so that the next run need not request the same commit again."""
    return {
        "repo_sha": repo_revision.commit,
        "files": [[file.path, file.size, file.sha256, file.git_oid] for file in files],
    }


def files_from_state(
    repo_revision: RepoRevision, weights: WeightFiles, previous: PreviousState | None
) -> list[RepoFile] | None:
    """Return the files of a checkpoint from the state of a previous run, None if that saw another commit."""
    extra: Mapping[str, Any] = previous.meta.extra if previous is not None else {}
    rows = extra.get("files")
    if extra.get("repo_sha") != repo_revision.commit or not isinstance(rows, list):
        return None
    try:
        files = [RepoFile(path=path, size=size, sha256=sha256, git_oid=git_oid) for path, size, sha256, git_oid in rows]
    except (TypeError, ValueError):
        return None  # stored by another version
    return files if tuple(file.path for file in files) == weights.paths else None
