"""Upload layers before the commit that names them, so that a small disk can produce a large version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filtercrawl.api.errors import Cancelled, FiltercrawlError
from filtercrawl.api.formatting import format_count, format_size
from filtercrawl.api.progress import Progress
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.atomic import remove
from filtercrawl.dataset.files.layer_store import LayerStore
from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.publishing.staging import has_catalog
from filtercrawl_publish.publishing.upload import upload_files
from filtercrawl_publish.repository.base import Repository

__all__ = ["LayerUploader", "fetch_unpublished_layers"]


@dataclass(frozen=True, kw_only=True)
class LayerUploader:
    """Uploads layers files that no version names yet, and deletes local copies that are not needed.

    Uploads are recorded in the catalog before the local copy is deleted: if the process is killed, the next run commits
    them without reading the checkpoints again. Callers hold the dataset lock and have no transaction open.

    Attributes:
        repository: Where the files go.
        dataset: The dataset folder.
        max_local_bytes: Bytes of layers files that may be kept locally; None for no limit.
        progress: Receives a line per step.
    """

    repository: Repository
    dataset: Path
    max_local_bytes: int | None
    progress: Progress

    def uploaded(self, *, ask: bool = True) -> dict[str, File]:
        """Return by path the layers that were uploaded, have no local copy, and are still stored.

        Args:
            ask: Whether to ask the repository, which needs write permission; otherwise the catalog is trusted.
        """
        if not has_catalog(self.dataset):
            return {}
        with Catalog(self.dataset) as catalog:
            recorded = catalog.uploaded(self.repository.url)
            files = [file for file in _layers(catalog) if file.path in recorded and not self._is_local(file)]
        stored = self.repository.uploaded(files) if ask and files else {file.path for file in files}
        return {file.path: file for file in files if file.path in stored}

    def free_disk_space(self) -> int:
        """Delete local copies of what the last version holds; if that is not enough, upload the rest and delete it.

        An upload that fails is reported, and its files stay.

        Returns:
            Bytes of the layers files that are still local.
        """
        if self.is_full():
            self.drop_released()
        if self.is_full():
            try:
                self._upload()
            except Cancelled:
                raise
            except FiltercrawlError as error:
                self.progress.message(f"could not free disk space: {error}")
        return sum(file.size for file in self._local_files())

    def is_full(self) -> bool:
        """Return whether the local layers reach the limit; always False without a catalog to record uploads in."""
        if self.max_local_bytes is None or not has_catalog(self.dataset):
            return False
        return sum(file.size for file in self._local_files()) >= self.max_local_bytes

    def drop_released(self) -> None:
        """Delete the local copies of layers that the last version holds."""
        with Catalog(self.dataset) as catalog:
            released = catalog.released()
        self._delete(released)

    def drop(self, paths: Iterable[str]) -> None:
        """Record which of these just uploaded files are layers, then delete their local copies."""
        layers = {file.path for file in self._local_files()} & {*paths}
        with Catalog(self.dataset) as catalog:
            catalog.mark_uploaded(self.repository.url, layers)  # before the deletion, or a kill would lose them
        self._delete(layers)

    def mark_upload_lost(self) -> None:
        """Record that the repository lost the uploads; the next sync reads those checkpoints again."""
        if has_catalog(self.dataset):
            with Catalog(self.dataset) as catalog:
                catalog.clear_uploaded(self.repository.url)

    def _upload(self) -> None:
        files = self._local_files()
        size = format_size(sum(file.size for file in files))
        self.progress.message(f"uploading {format_count(len(files))} layers files early, {size}, to free disk space")
        for paths in upload_files(files, self.dataset, self.repository, self.progress):
            self.drop(paths)

    def _local_files(self) -> list[File]:
        with Catalog(self.dataset) as catalog:
            return [file for file in _layers(catalog) if self._is_local(file)]

    def _is_local(self, file: File) -> bool:
        return (self.dataset / file.path).is_file()

    def _delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            remove(self.dataset / path)


def fetch_unpublished_layers(dataset: Path, repository: Repository, layers: LayerStore) -> None:
    """Put the layers files that a repository lacks into the dataset folder, from which they are uploaded."""
    head = repository.head()
    published = repository.files(head) if head else {}
    with Catalog(dataset) as catalog:
        for file in _layers(catalog):
            there = published.get(file.path)
            if there is None or (there.size, there.sha256 or file.sha256) != (file.size, file.sha256):
                layers.fetch(file.path)


def _layers(catalog: Catalog) -> list[File]:
    return [File(path=path, size=length, sha256=sha256) for path, length, sha256 in catalog.layer_files()]
