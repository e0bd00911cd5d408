"""A dataset folder that is open for writing: its catalog, its layers files, and where those are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.atomic import replace_if_changed
from filtercrawl.dataset.files.layer_store import LayerStore, SupportsUploads
from filtercrawl.dataset.files.layers_reader import LayersFileReader
from filtercrawl.dataset.files.unpublished import TEMPORARY
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.tables.staged_layers import StagedLayers, copy_layers, discard


@dataclass(frozen=True, kw_only=True)
class WritableDataset:
    """A dataset folder that is open for writing.

    Attributes:
        folder: The folder.
        catalog: What it holds.
        layer_store: Where the layers files are stored.
    """

    folder: Path
    catalog: Catalog
    layer_store: LayerStore

    def layer_bytes(self) -> int:
        """Return the bytes of the layers files in the folder; a published version may hold others."""
        return sum(size for path, size, _ in self.catalog.layer_files() if (self.folder / path).is_file())

    def has_layers(self, path: str) -> bool:
        """Tell whether a layers file is here or can be fetched."""
        return self.layer_store.can_fetch(path) or self.catalog.is_released(path)

    def install_layers(self, staged: StagedLayers) -> None:
        """Move a staged layers file into the folder, or one that is uploaded to its place in the object store."""
        if staged.path is None or staged.sha256 is None:
            return
        if staged.staged is not None:
            replace_if_changed(staged.staged, self.folder / staged.path)
            discard(staged)
        self.catalog.put_layer_file(staged.path, staged.size, staged.sha256)
        if staged.uploaded is None:
            self.layer_store.added(staged.path)
        else:
            assert isinstance(self.layer_store, SupportsUploads)
            self.layer_store.take(staged.uploaded, staged.path)

    def copy_layers(self, row: ModelRow, layers: Sequence[IndexRow], path: str) -> StagedLayers:
        """Write the layers in a file of the dataset once more, as those of another checkpoint."""
        self.layer_store.fetch(path)
        stored = LayersFileReader(self.folder / path)
        try:
            return copy_layers(row.model_id, row.source, layers, stored, self.folder / TEMPORARY)
        finally:
            stored.close()
