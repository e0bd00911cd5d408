"""A published dataset on the Hub, pinned to one commit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from filtercrawl.api.errors import AccessDeniedError, NetworkError, NotFoundError
from filtercrawl.config import hub_endpoint
from filtercrawl.transport.hub import _PAUSES, MISSING, translate_hub_errors


@dataclass(frozen=True)
class HubDataset:
    """A dataset repo at one commit, to be read: by ranges, or from the cache of huggingface_hub where that has a file.

    Requests go through huggingface_hub's own HTTP client, since the process is somebody else's. Pickled, it is the same
    repo at the same commit.
    """

    repo_id: str
    commit: str
    first: Path

    @classmethod
    def open(cls, repo_id: str, revision: str | None, path: str) -> Self:
        """Fetch one file and learn from it at which commit a revision (default: `main`) is; raises NetworkError."""
        import huggingface_hub

        what = f"{repo_id}@{revision or 'main'} (no folder here)"
        for pause in (*_PAUSES, None):
            try:
                with translate_hub_errors(what):
                    found = huggingface_hub.hf_hub_download(
                        repo_id, path, repo_type="dataset", revision=revision, endpoint=hub_endpoint()
                    )
                break
            except NetworkError as error:
                if (
                    pause is None
                    or isinstance(error, AccessDeniedError | NotFoundError)
                    or huggingface_hub.is_offline_mode()
                ):
                    raise
                time.sleep(pause)
        # The cache keeps a file as snapshots/COMMIT/PATH.
        return cls(repo_id, Path(found).parents[path.count("/")].name, Path(found))

    def index(self) -> Path:
        """Return the file that was fetched."""
        return self.first

    def source(self, path: str) -> Path | BinaryIO:
        """Return what to read a file of the commit from; call it, and read, inside `translate_hub_errors`."""
        import huggingface_hub

        cached = huggingface_hub.try_to_load_from_cache(self.repo_id, path, repo_type="dataset", revision=self.commit)
        if isinstance(cached, str):
            return Path(cached)
        files = huggingface_hub.HfFileSystem(endpoint=hub_endpoint())
        # Parquet knows what it will read: a cache would only read more.
        place = f"datasets/{self.repo_id}@{self.commit}/{path}"
        try:
            opened: BinaryIO = files.open(place, "rb", cache_type="none")
        except FileNotFoundError as error:
            raise NotFoundError(f"{self}: {path}: {MISSING}") from error
        return opened

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.commit[:12]}"
