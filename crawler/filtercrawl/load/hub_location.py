"""A dataset repository on the Hub, pinned to one commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from filtercrawl.api.errors import AccessDeniedError, NetworkError, NotFoundError
from filtercrawl.config import hub_endpoint
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.manifest import PATH as MANIFEST
from filtercrawl.dataset.files.table_files import table_path
from filtercrawl.transport.hub import MISSING, translate_hub_errors
from filtercrawl.transport.retry import RetryPolicy

# huggingface_hub makes one attempt of a download, and one of a check.
_DOWNLOADS: Final = RetryPolicy.with_delays(0.5, 2.0, 5.0)
_CHECKS: Final = RetryPolicy.with_delays(0.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class HubLocation:
    """A dataset repository at one commit.

    Files are read by byte ranges, or from the cache of huggingface_hub if that holds them. Requests go through
    huggingface_hub's own HTTP client, since the process belongs to the caller. A pickled location stays at the same
    commit.

    Attributes:
        repo_id: `org/name`.
        commit: The SHA of the commit.
        manifest_file: The file of the manifest in the cache of huggingface_hub.
    """

    repo_id: str
    commit: str
    manifest_file: Path

    @classmethod
    def open(cls, repo_id: str, revision: str | None) -> Self:
        """Download the manifest and find out from it which commit a revision is at.

        Where the Hub cannot be reached, it is the last commit of the revision that the cache knows.

        Args:
            repo_id: `org/name`.
            revision: A branch, tag or commit; None for `main`.

        Raises:
            NetworkError: The Hub cannot be reached, or there is no such repository, revision or file.
        """
        described = f"{repo_id}@{revision or 'main'} (no folder here)"
        if _cached(repo_id, MANIFEST, revision) is None:
            _check_reachable(repo_id, MANIFEST, revision, described)
        file = _download(repo_id, MANIFEST, revision, described)
        # The cache keeps a file as snapshots/COMMIT/PATH.
        return cls(repo_id=repo_id, commit=file.parent.name, manifest_file=file)

    @property
    def root(self) -> Path:
        """The folder of the commit in the cache of huggingface_hub, which holds the files that were downloaded."""
        return self.manifest_file.parent

    def index(self) -> tuple[Path, ...]:
        stated = DatasetFolder(self.root, str(self)).stated_files("index")
        # A version that was published before the manifest named the files has one.
        return tuple(self.file(path) for path in ((table_path("index"),) if stated is None else stated))

    def file(self, path: str) -> Path:
        return _download(self.repo_id, path, self.commit, f"{self}: {path}")

    def source(self, path: str) -> Path | BinaryIO:
        """Return what to read a file of the commit from; call it, and read, inside `translate_hub_errors`."""
        import huggingface_hub

        cached = _cached(self.repo_id, path, self.commit)
        if cached is not None:
            return cached
        files = huggingface_hub.HfFileSystem(endpoint=hub_endpoint())
        try:
            # Parquet knows what it will read; a cache would only read more.
            opened: BinaryIO = files.open(f"datasets/{self.repo_id}@{self.commit}/{path}", "rb", cache_type="none")
        except FileNotFoundError as error:
            raise NotFoundError(f"{self}: {path}: {MISSING}") from error
        return opened

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.commit[:12]}"


def _cached(repo_id: str, path: str, revision: str | None) -> Path | None:
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(repo_id, path, repo_type="dataset", revision=revision)
    return Path(found) if isinstance(found, str) else None


def _check_reachable(repo_id: str, path: str, revision: str | None, description: str) -> None:
    """Ask the Hub for a file that is not in the cache, since `hf_hub_download` alone tries for half a minute.

    Raises:
        NetworkError: The Hub cannot be reached, or has no such file.
    """
    import huggingface_hub

    def attempt() -> None:
        with translate_hub_errors(description):
            url = huggingface_hub.hf_hub_url(
                repo_id, path, repo_type="dataset", revision=revision, endpoint=hub_endpoint()
            )
            huggingface_hub.get_hf_file_metadata(url, endpoint=hub_endpoint())

    try:
        _CHECKS.run(attempt, retryable=_may_pass)
    except (AccessDeniedError, NotFoundError):
        raise
    except NetworkError as error:
        why = str(error).removeprefix(f"{description}: ")
        message = f"{description}: the Hub cannot be reached, and the file is not in the cache ({why})"
        raise NetworkError(message) from error


def _may_pass(error: Exception) -> bool:
    """Tell whether another attempt may succeed."""
    import huggingface_hub

    final = isinstance(error, AccessDeniedError | NotFoundError) or huggingface_hub.is_offline_mode()
    return isinstance(error, NetworkError) and not final


def _download(repo_id: str, path: str, revision: str | None, description: str) -> Path:
    """Return a file of the cache of huggingface_hub, downloaded if it is not there; `description` is for errors."""
    import huggingface_hub

    def attempt() -> Path:
        with translate_hub_errors(description):
            return Path(
                huggingface_hub.hf_hub_download(
                    repo_id, path, repo_type="dataset", revision=revision, endpoint=hub_endpoint()
                )
            )

    return _DOWNLOADS.run(attempt, retryable=_may_pass)
