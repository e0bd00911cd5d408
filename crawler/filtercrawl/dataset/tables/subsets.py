"""Whether the subsets in a dataset folder still fit the dataset: each layer that they name is stored where they say."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.dataset.card.configs import Config
from filtercrawl.dataset.card.counts import FileTotals
from filtercrawl.dataset.files.manifest import hashed_file
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.subset_folders import FOLDER, SubsetFolder, config_names, subset_folders
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.schema.subset_rows import SubsetRow

logger = logging.getLogger(__name__)

# Where subsets go that no longer fit.
OUTDATED: Final = f"{HIDDEN}/outdated-subsets"
_COLUMNS: Final = ("layer_id", "layer_sha256", "row_id", "file", "row_group")


class SubsetReferences:
    """What a subset refers to, until it was found among the rows of `index`.

    Attributes:
        models: Ids of the checkpoints whose rows are needed; some of them may not exist.
    """

    def __init__(self, path: Path, splits: Sequence[str], changed: Collection[str] | None) -> None:
        """Read the references of a subset.

        Args:
            path: Its folder.
            splits: Its splits.
            changed: Ids of checkpoints, to keep only the references to these; None for all.

        Raises:
            OSError: A file cannot be read.
            ValueError: A file is no manifest of a subset.
            pyarrow.ArrowException: As above.
        """
        self.models: set[str] = set()
        self._layers: set[tuple[str, str | None]] = set()
        self._places: set[tuple[str, str | None, str | None, int | None]] = set()
        for split in splits:
            table = pq.read_table(path / f"{split}.parquet", columns=list(_COLUMNS), use_threads=False)
            columns = (table[name].to_pylist() for name in _COLUMNS)
            for layer_id, content, row_id, file, row_group in zip(*columns, strict=True):
                if owners := _owners(layer_id, changed):
                    self._layers.add((layer_id, content))
                    self.models |= owners
                if owners := _owners(row_id, changed):
                    self._places.add((row_id, content, file, row_group))
                    self.models |= owners

    def offer(self, row: IndexRow) -> None:
        """Compare with a row of `index`."""
        self._layers.discard((row.layer_id, row.layer_sha256))
        self._places.discard((row.row_id, row.layer_sha256, row.file, row.row_group))

    @property
    def unknown(self) -> list[str]:
        """Layers that were not found, or whose weight is stored elsewhere, by id."""
        return sorted({layer_id for layer_id, _ in self._layers} | {row_id for row_id, *_ in self._places})


def _owners(layer_id: str, changed: Collection[str] | None) -> set[str]:
    """Return the checkpoints that a layer may be of, by its id: names may have the sign that separates them."""
    pieces = layer_id.split("#")
    names = {"#".join(pieces[:stop]) for stop in range(1, len(pieces))}
    return names if changed is None else names.intersection(changed)


class IndexSource(Protocol):
    """Where the rows of `index` come from."""

    def models_of(self, model_ids: Iterable[str]) -> Iterator[ModelRow]: ...

    def index(self, owners: Iterable[ModelRow]) -> Iterator[IndexRow]: ...


class SubsetCheck:
    """Finds out which subsets of a dataset folder fit the rows of `index`."""

    def __init__(self, dataset: Path, known: Mapping[str, str]) -> None:
        """Find the subsets.

        Args:
            dataset: The dataset folder.
            known: Digest by folder of those that fitted before: of these only what has changed is compared.
        """
        self._dataset = dataset
        self._known = known
        self._fitting: list[SubsetFolder] = []
        self._outdated: dict[str, str] = {}
        self.digests: dict[str, str] = {}

    def check(self, rows: IndexSource, changed: Sequence[str]) -> None:
        """Compare the subsets with the rows of `index`; those that cannot be read do not fit.

        Args:
            rows: The rows.
            changed: Ids of the checkpoints whose rows may differ from those of the last time.
        """
        for subset in subset_folders(self._dataset):
            name, path = subset.folder_name, self._dataset / FOLDER / subset.folder_name
            try:
                digest = FileTotals.of(hashed_file(self._dataset, split) for split in subset.paths.values()).digest
                is_known = self._known.get(name) == digest
                references = SubsetReferences(path, list(subset.splits), frozenset(changed) if is_known else None)
            except (OSError, ValueError, pa.ArrowException) as error:
                self._outdated[name] = f"cannot be read ({error})"
                continue
            for row in rows.index(rows.models_of(sorted(references.models))):
                references.offer(row)
            if unknown := references.unknown:
                self._outdated[name] = f"the dataset does not have {unknown[0]} as it was"
            else:
                self._fitting.append(subset)
                self.digests[name] = digest

    def fitting(self) -> list[SubsetFolder]:
        """Return the subsets that fit, after the check; move the others out of the published folders."""
        for name, reason in self._outdated.items():
            self._move_away(name, reason)
        return self._fitting

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
            files=FileTotals.of(by_path[path] for path in subset.paths.values()),
            rows=sum(subset.splits.values()),
            splits={split: [path] for split, path in subset.paths.items()},
        )
