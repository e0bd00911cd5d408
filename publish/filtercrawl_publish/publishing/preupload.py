"""Layers that a place has before the version that names them, so that a small disk holds a large release."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from filtercrawl.api.errors import Cancelled, FiltercrawlError
from filtercrawl.api.formatting import format_count, format_size
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.atomic import remove
from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.publishing.staging import has_catalog
from filtercrawl_publish.publishing.upload import upload_files
from filtercrawl_publish.repository.base import Repository

__all__ = ["LayerUploader"]


@dataclass(frozen=True, kw_only=True)
class LayerUploader:
    """The layers of a dataset that `place` has and no version of it names yet, and those that need not lie here.

    max_local_bytes: bytes of layers that may lie here, None for any number. The catalog of `dataset` notes what was
    sent, so that
    the next run commits it where this one ends before. Whoever calls a method holds the dataset, outside a transaction.
    """

    repository: Repository
    dataset: Path
    max_local_bytes: int | None
    log: Callable[[str], None]

    def uploaded(self, *, ask: bool = True) -> dict[str, File]:
        """Return path -> file of what was sent, by whichever run, lies here no more, and the place has still.

        ask: the place, which takes the right to write to it; else it is believed.
        """
        if not has_catalog(self.dataset):
            return {}
        with Catalog(self.dataset) as catalog:
            noted = catalog.uploaded(self.repository.url)
            files = [file for file in _layers(catalog) if file.path in noted and not self._is_here(file)]
        found = self.repository.uploaded(files) if ask and files else {file.path for file in files}
        return {file.path: file for file in files if file.path in found}

    def free_disk_space(self) -> int:
        """Delete what the last version holds here; where that is not enough, send what is finished and delete it too.

        Returns the bytes of layers that lie here still. What cannot be sent stays, and is said.
        """
        if self.is_full():
            self.drop_released()
        if self.is_full():
            try:
                self._upload()
            except Cancelled:
                raise
            except FiltercrawlError as error:
                self.log(f"no room was made: {error}")
        return sum(file.size for file in self._local_files())

    def is_full(self) -> bool:
        """Tell whether layers take all that they may; never without a catalog, which notes what is deleted."""
        if self.max_local_bytes is None or not has_catalog(self.dataset):
            return False
        return sum(file.size for file in self._local_files()) >= self.max_local_bytes

    def drop_released(self) -> None:
        """Delete what the last version holds; what no version holds stays."""
        with Catalog(self.dataset) as catalog:
            released = catalog.released()
        self._delete(released)

    def drop(self, went: Iterable[str]) -> None:
        """Note which of these files are layers that the place was just sent, and delete them here."""
        layers = {file.path for file in self._local_files()} & {*went}
        with Catalog(self.dataset) as catalog:
            catalog.mark_uploaded(self.repository.url, layers)  # first: what is deleted and not noted would be lost
        self._delete(layers)

    def mark_upload_lost(self) -> None:
        """Note that the place has lost what it was sent: a sync reads those checkpoints again."""
        if has_catalog(self.dataset):
            with Catalog(self.dataset) as catalog:
                catalog.clear_uploaded(self.repository.url)

    def _upload(self) -> None:
        files = self._local_files()
        total = sum(file.size for file in files)
        self.log(f"sending {format_count(len(files))} files of layers ahead, {format_size(total)}, to make room")
        for went in upload_files(files, self.dataset, self.repository, self.log):
            self.drop(went)

    def _local_files(self) -> list[File]:
        with Catalog(self.dataset) as catalog:
            return [file for file in _layers(catalog) if self._is_here(file)]

    def _is_here(self, file: File) -> bool:
        return (self.dataset / file.path).is_file()

    def _delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            remove(self.dataset / path)


def _layers(catalog: Catalog) -> list[File]:
    return [File(path=path, size=length, sha256=sha256) for path, length, sha256 in catalog.layer_files()]
