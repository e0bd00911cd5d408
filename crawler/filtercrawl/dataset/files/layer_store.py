"""Where the layers files of a dataset are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable


class LayerStore(Protocol):
    """Storage of layers files; paths are relative to the dataset folder.

    A file need not be in the folder: a release may keep it in the repository that it publishes to.
    """

    def contains(self, path: str) -> bool:
        """Tell whether a file is stored, in the folder or in the place of the next version."""
        ...

    def can_fetch(self, path: str) -> bool:
        """Tell whether a file is in the folder or `fetch` can put it there, but for what the last version has."""
        ...

    def added(self, path: str) -> None:
        """Take note of a file that was just put into the folder."""
        ...

    def fetch(self, path: str) -> None:
        """Put a file into the folder that the last published version has; nothing happens if it is there."""
        ...

    def free_space(self) -> int:
        """Move files out of the folder if it is full; return the bytes of the layers files that are still there."""
        ...


@runtime_checkable
class SupportsUploads(Protocol):
    """A `LayerStore` into which workers upload layers files themselves."""

    def take(self, uploaded: str, path: str) -> None:
        """Move a file that a worker has uploaded to its place."""
        ...


class LocalLayerStore:
    """Layers files that are in the dataset folder and nowhere else."""

    def __init__(self, dataset: Path) -> None:
        self._dataset = dataset

    def contains(self, path: str) -> bool:
        """Tell whether a file is in the folder."""
        return (self._dataset / path).is_file()

    def can_fetch(self, path: str) -> bool:
        """Tell whether a file is in the folder."""
        return self.contains(path)

    def added(self, path: str) -> None:
        """Do nothing: the file is where it belongs."""

    def fetch(self, path: str) -> None:
        """Do nothing: there is no other place to fetch from."""

    def free_space(self) -> int:
        """Return the bytes of the layers files; none of them can be moved."""
        return sum(file.stat().st_size for file in (self._dataset / "data/layers").rglob("*.parquet"))
