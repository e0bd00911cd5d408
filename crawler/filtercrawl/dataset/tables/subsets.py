"""Whether the subsets in a dataset folder still fit the dataset: each layer that they name is stored where they say."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.dataset.card.configs import Config
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.subset_folders import FOLDER, SubsetFolder, config_names, subset_folders
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.subset_rows import SubsetRow

logger = logging.getLogger(__name__)

# Where subsets go that no longer fit.
OUTDATED: Final = f"{HIDDEN}/outdated-subsets"
_COLUMNS: Final = ("layer_id", "layer_sha256", "row_id", "file", "row_group")


class SubsetReferences:
    """What a subset refers to, until it was found among the rows of `index`."""

    def __init__(self, path: Path, splits: Sequence[str]) -> None:
        """Read the references of a subset.

        Raises:
            OSError: A file cannot be read.
            ValueError: A file is no manifest of a subset.
            pyarrow.ArrowException: As above.
        """
        self._layers: set[tuple[str, str | None]] = set()
        self._places: set[tuple[str, str | None, str | None, int | None]] = set()
        for split in splits:
            table = pq.read_table(path / f"{split}.parquet", columns=list(_COLUMNS), use_threads=False)
            columns = (table[name].to_pylist() for name in _COLUMNS)
            for layer_id, content, row_id, file, row_group in zip(*columns, strict=True):
                self._layers.add((layer_id, content))
                self._places.add((row_id, content, file, row_group))

    def offer(self, row: IndexRow) -> None:
        """Compare with a row of `index`."""
        self._layers.discard((row.layer_id, row.layer_sha256))
        self._places.discard((row.row_id, row.layer_sha256, row.file, row.row_group))

    @property
    def unknown(self) -> list[str]:
        """Layers that were not found, or whose weight is stored elsewhere, by id."""
        return sorted({layer_id for layer_id, _ in self._layers} | {row_id for row_id, *_ in self._places})


class SubsetCheck:
    """Finds out which subsets of a dataset folder fit the rows of `index` that are offered."""

    def __init__(self, dataset: Path) -> None:
        """Read what the subsets refer to; those that cannot be read do not fit."""
        self._dataset = dataset
        self._references: list[tuple[SubsetFolder, SubsetReferences]] = []
        self._unreadable: dict[str, str] = {}
        for subset in subset_folders(dataset):
            try:
                references = SubsetReferences(dataset / FOLDER / subset.folder_name, list(subset.splits))
            except (OSError, ValueError, pa.ArrowException) as error:
                self._unreadable[subset.folder_name] = f"cannot be read ({error})"
            else:
                self._references.append((subset, references))

    def offer(self, row: IndexRow) -> None:
        """Compare with a row of `index`."""
        for _, references in self._references:
            references.offer(row)

    def fitting(self) -> list[SubsetFolder]:
        """Return the subsets that fit, after all rows were offered; move the others out of the published folders."""
        found, outdated = [], dict(self._unreadable)
        for subset, references in self._references:
            if unknown := references.unknown:
                outdated[subset.folder_name] = f"the dataset does not have {unknown[0]} as it was"
            else:
                found.append(subset)
        for name, reason in outdated.items():
            self._move_away(name, reason)
        return found

    def _move_away(self, name: str, reason: str) -> None:
        target = self._dataset / OUTDATED / name
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        (self._dataset / FOLDER / name).rename(target)
        where = f"{FOLDER}/{name}"
        logger.warning("%s: %s; it is in %s now; make it again by `filtercrawl subset`", where, reason, OUTDATED)


def subset_configs(subsets: Sequence[SubsetFolder], files: Sequence[File]) -> Iterator[Config]:
    """Yield the config of each subset.

    Args:
        subsets: Those that fit.
        files: The published files, among them those of the subsets.
    """
    by_path = {file.path: file for file in files}
    for name, subset in config_names(subsets).items():
        yield Config(
            name=name,
            about=" ".join(f"A subset, by reference: {subset.description}".split()),
            schema=SubsetRow.SCHEMA,
            paths=list(subset.paths.values()),
            files=[by_path[path] for path in subset.paths.values()],
            rows=sum(subset.splits.values()),
            splits={split: [path] for split, path in subset.paths.items()},
        )
