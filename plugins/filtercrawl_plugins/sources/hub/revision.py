"""The checkpoints of one repo at one commit, from what the Hub says or from what is remembered of it."""

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
    """A file at a commit. sha256: of LFS files; blob: what git calls the content."""

    path: str
    size: int | None
    sha256: str | None
    git_oid: str | None

    @classmethod
    def from_sibling(cls, sibling: RepoSibling) -> RepoFile:
        lfs = sibling.lfs
        size = lfs.size if lfs else sibling.size
        return cls(path=sibling.rfilename, size=size, sha256=lfs.sha256 if lfs else None, git_oid=sibling.blob_id)

    @property
    def content_id(self) -> str | None:
        """Changes exactly when the bytes do."""
        return self.sha256 or (f"git:{self.git_oid}" if self.git_oid else None)

    def to_remote_file(self, repo_revision: RepoRevision) -> RemoteFile:
        return RemoteFile(
            url=repo_revision.url(self.path),
            size=self.size,
            sha256=self.sha256,
            etag=self.sha256 or self.git_oid,
            path=self.path,
        )


@dataclass(frozen=True, kw_only=True)
class RepoRevision:
    """A repo at a commit."""

    endpoint: str
    repo: str
    commit: str

    def url(self, path: str) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.repo, path, revision=self.commit, endpoint=self.endpoint)

    def name(self, weights: WeightFiles) -> str:
        return f"{self.repo}/{weights.main}"


def make_checkpoint(repo_revision: RepoRevision, blobs: Sequence[RepoFile], meta: CheckpointMetadata) -> Checkpoint:
    """Return a checkpoint; its revision follows from the bytes of its files, whatever else is committed."""
    return Checkpoint(
        name=f"{repo_revision.repo}/{blobs[0].path}",
        revision=content_revision(blobs),
        files=tuple(blob.to_remote_file(repo_revision) for blob in blobs),
        meta=meta,
    )


def content_revision(blobs: Sequence[RepoFile]) -> str | None:
    """One file's own content id; of several, the sha256 of their `id  path` lines. None where one is unknown."""
    if any(blob.content_id is None for blob in blobs):
        return None
    if len(blobs) == 1:
        return blobs[0].content_id
    return hashlib.sha256("".join(f"{blob.content_id}  {blob.path}\n" for blob in blobs).encode()).hexdigest()


def state_for_next_run(revision: RepoRevision, blobs: Sequence[RepoFile]) -> dict[str, Any]:
    """What to keep in `meta.extra`, so that the same commit need not be asked for again."""
    return {"repo_sha": revision.commit, "files": [[b.path, b.size, b.sha256, b.git_oid] for b in blobs]}


def files_from_state(
    repo_revision: RepoRevision, weights: WeightFiles, known: PreviousState | None
) -> list[RepoFile] | None:
    """Return the files of a checkpoint as they were kept, or None where this commit was not seen before."""
    extra: Mapping[str, Any] = known.meta.extra if known is not None else {}
    rows = extra.get("files")
    if extra.get("repo_sha") != repo_revision.commit or not isinstance(rows, list):
        return None
    try:
        blobs = [RepoFile(path=path, size=size, sha256=sha256, git_oid=git_oid) for path, size, sha256, git_oid in rows]
    except (TypeError, ValueError):
        return None  # written by another version
    return blobs if tuple(blob.path for blob in blobs) == weights.paths else None
