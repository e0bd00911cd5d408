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
class Blob:
    """A file at a commit. sha256: of LFS files; blob: what git calls the content."""

    path: str
    size: int | None
    sha256: str | None
    blob: str | None

    @classmethod
    def of(cls, sibling: RepoSibling) -> Blob:
        lfs = sibling.lfs
        size = lfs.size if lfs else sibling.size
        return cls(path=sibling.rfilename, size=size, sha256=lfs.sha256 if lfs else None, blob=sibling.blob_id)

    @property
    def content(self) -> str | None:
        """Changes exactly when the bytes do."""
        return self.sha256 or (f"git:{self.blob}" if self.blob else None)

    def remote(self, repo_revision: RepoRevision) -> RemoteFile:
        return RemoteFile(
            url=repo_revision.url(self.path),
            size=self.size,
            sha256=self.sha256,
            etag=self.sha256 or self.blob,
            path=self.path,
        )


@dataclass(frozen=True, kw_only=True)
class RepoRevision:
    """A repo at a commit."""

    endpoint: str
    repo: str
    sha: str

    def url(self, path: str) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.repo, path, revision=self.sha, endpoint=self.endpoint)

    def name(self, weights: WeightFiles) -> str:
        return f"{self.repo}/{weights.main}"


def offer(repo_revision: RepoRevision, blobs: Sequence[Blob], meta: CheckpointMetadata) -> Checkpoint:
    """Return a checkpoint; its revision follows from the bytes of its files, whatever else is committed."""
    return Checkpoint(
        name=f"{repo_revision.repo}/{blobs[0].path}",
        revision=revision(blobs),
        files=tuple(blob.remote(repo_revision) for blob in blobs),
        meta=meta,
    )


def revision(blobs: Sequence[Blob]) -> str | None:
    """One file's own content id; of several, the sha256 of their `id  path` lines. None where one is unknown."""
    if any(blob.content is None for blob in blobs):
        return None
    if len(blobs) == 1:
        return blobs[0].content
    return hashlib.sha256("".join(f"{blob.content}  {blob.path}\n" for blob in blobs).encode()).hexdigest()


def state_for_next_run(revision: RepoRevision, blobs: Sequence[Blob]) -> dict[str, Any]:
    """What to keep in `meta.extra`, so that the same commit need not be asked for again."""
    return {"repo_sha": revision.sha, "files": [[b.path, b.size, b.sha256, b.blob] for b in blobs]}


def offer_from_state(
    repo_revision: RepoRevision, weights: WeightFiles, known: PreviousState | None
) -> list[Blob] | None:
    """Return the files of a checkpoint as they were kept, or None where this commit was not seen before."""
    extra: Mapping[str, Any] = known.meta.extra if known is not None else {}
    rows = extra.get("files")
    if extra.get("repo_sha") != repo_revision.sha or not isinstance(rows, list):
        return None
    try:
        blobs = [Blob(path=path, size=size, sha256=sha256, blob=blob) for path, size, sha256, blob in rows]
    except (TypeError, ValueError):
        return None  # written by another version
    return blobs if tuple(blob.path for blob in blobs) == weights.paths else None
