"""The layers files in a dataset folder, compared with those that its catalog knows: in order, whatever their number."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from filtercrawl.dataset.files.atomic import remove, remove_temporary_files

LAYERS = "data/layers"


class LayerFiles(Protocol):
    """The layers files of a dataset, as the catalog has them."""

    def layer_files(self) -> Iterable[tuple[str, int, str]]:
        """Return path, size and SHA-256 of each, sorted by path."""
        ...


def stored_layers(folder: Path) -> Iterator[str]:
    """Yield the paths of the layers files in a dataset folder, relative to it and sorted."""
    if (folder / LAYERS).is_dir():
        yield from _files_below(str(folder / LAYERS), f"{LAYERS}/")


def absent(known: Iterable[str], folder: Path) -> Iterator[str]:
    """Yield the known paths, which are sorted, that are no layers files in a dataset folder."""
    return lacking(known, stored_layers(folder))


def delete_orphans(folder: Path, known: LayerFiles) -> list[str]:
    """Delete layers files that are not known, and what killed runs left; return the paths of the former.

    Only after an export of the same rows, and only while nobody else writes to the dataset: a file whose
    catalog row is still to come would go too.
    """
    orphans = list(lacking(stored_layers(folder), (path for path, _, _ in known.layer_files())))
    for path in orphans:
        remove(folder / path)
    remove_temporary_files(folder)
    return orphans


def _files_below(place: str, prefix: str) -> Iterator[str]:
    with os.scandir(place) as found:
        # The order of whole paths: the slash behind a folder's name counts.
        entries = sorted((f"{entry.name}/" if entry.is_dir() else entry.name, entry.path) for entry in found)
    for name, path in entries:
        if name.endswith("/"):
            yield from _files_below(path, prefix + name)
        elif name.endswith(".parquet"):
            yield prefix + name


def lacking(paths: Iterable[str], others: Iterable[str]) -> Iterator[str]:
    """Yield the paths that are not among the others; both are sorted."""
    rest = iter(others)
    other = next(rest, None)
    for path in paths:
        while other is not None and other < path:
            other = next(rest, None)
        if path != other:
            yield path
