"""The layers files of a release: in the dataset folder, in the last version, or uploaded for the next one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from filtercrawl.api.progress import Progress
from filtercrawl.dataset.files.layer_store import LocalLayerStore
from filtercrawl_publish.publishing.preupload import LayerUploader
from filtercrawl_publish.repository.base import Repository

__all__ = ["RepositoryLayerStore"]


@dataclass(frozen=True, kw_only=True)
class RepositoryLayerStore:
    """Layers files in a dataset folder and in the repository that it is published to.

    Implements `filtercrawl.dataset.files.layer_store.LayerStore`.

    Attributes:
        dataset: The folder.
        repository: The repository.
        commit: Commit of the last version; None if nothing is published.
        uploaded: Files that were uploaded for the next version and are no longer in the folder.
        uploader: Uploads files ahead of the commit; None for a folder without a limit.
        progress: Receives a line per download.
    """

    dataset: Path
    repository: Repository
    commit: str | None
    uploaded: Collection[str] = ()
    uploader: LayerUploader | None = None
    progress: Progress

    def contains(self, path: str) -> bool:
        """Return whether a file is in the folder or was uploaded for the next version."""
        return path in self.uploaded or (self.dataset / path).is_file()

    def can_fetch(self, path: str) -> bool:
        """Return whether a file is in the folder; whether the last version has it, the catalog knows."""
        return (self.dataset / path).is_file()

    def added(self, path: str) -> None:
        """Do nothing: files are uploaded when the folder is full."""

    def fetch(self, path: str) -> None:
        """Download a file from the last version if it is not in the folder."""
        if self.commit is not None and not (self.dataset / path).is_file():
            self.progress.message(f"downloading {path} from the last version")
            self.repository.fetch([path], self.commit, self.dataset)

    def free_space(self) -> int:
        """Delete files that the last version has, upload and delete others; return the bytes that are left."""
        if self.uploader is not None:
            return self.uploader.free_disk_space()
        return LocalLayerStore(self.dataset).free_space()
