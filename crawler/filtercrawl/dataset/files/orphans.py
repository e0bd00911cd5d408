"""Layers files in a dataset folder that its catalog does not know."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from filtercrawl.dataset.files.atomic import remove, remove_temporary_files


class LayerFiles(Protocol):
    """The layers files of a dataset, as the catalog has them."""

    def layer_files(self) -> Iterable[tuple[str, int, str]]:
        """Return path, size and SHA-256 of each, sorted by path."""
        ...


def delete_orphans(folder: Path, known: LayerFiles) -> list[str]:
    """Delete layers files that are not known, and what killed runs left; return the paths of the former.

    Only after an export of the same rows, and only while nobody else writes to the dataset: a file whose
    catalog row is still to come would go too.
    """
    paths = {path for path, _, _ in known.layer_files()}
    present = [path.relative_to(folder).as_posix() for path in (folder / "data/layers").rglob("*.parquet")]
    orphans = sorted(path for path in present if path not in paths)
    for path in orphans:
        remove(folder / path)
    remove_temporary_files(folder)
    return orphans
