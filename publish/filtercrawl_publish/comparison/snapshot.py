"""Read the tables of one of two compared datasets, a checkpoint at a time."""

from __future__ import annotations

import filecmp
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError
from filtercrawl.api.transport import Transport
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.table_files import files_of, table_of
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl_publish.repository.open import open_to_read

Row = dict[str, Any]
# Rows of `index` per batch.
_BATCH_ROWS: Final = 8192
_LAYER_COLUMNS: Final = (
    "model_id",
    "layer_id",
    "layer_sha256",
    "kernel",
    "n_kernels",
    "row_group",
    "weight_kind",
    "run_final",
    "effective_sha256",
)
# Tables that a comparison reads.
TABLES: Final = ("models", "index", "withdrawn", "renames", "sketches")
# Those of them that have parts.
_PARTED: Final = ("models", "index", "sketches")


class SnapshotLayer(NamedTuple):
    """The columns of `index` that are compared.

    Attributes:
        layer_id: Its id.
        layer_sha256: Of its weights.
        kernel: Kernel size, such as `3x3`.
        n_kernels: Number of kernels.
        stored: Whether the dataset stores the weights for this layer, not only for a duplicate.
        weight_kind: Such as `learned`.
        final: Whether its checkpoint is the last one of its training run.
        effective_sha256: Of what its effective weight is computed from; empty where that is not known.
    """

    layer_id: str
    layer_sha256: str
    kernel: str
    n_kernels: int
    stored: bool
    weight_kind: str
    final: bool
    effective_sha256: str = ""


@dataclass(frozen=True)
class DatasetSnapshot:
    """A dataset folder of which only tables need to be present.

    Attributes:
        folder: The folder.
        name: What to call it in messages.
        without: Paths of files whose rows are left out.
    """

    folder: Path
    name: str
    without: frozenset[str] = frozenset()

    @classmethod
    def open(cls, folder: Path, name: str) -> DatasetSnapshot:
        """Open a folder.

        Raises:
            DatasetError: It holds no dataset, or a newer version of filtercrawl wrote it.
        """
        dataset = DatasetFolder(folder, name)
        dataset.require()
        dataset.schema_version()
        return cls(folder, name)

    @property
    def _dataset(self) -> DatasetFolder:
        return DatasetFolder(self.folder, self.name, without=self.without)

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """Content of manifest.json; empty if there is none."""
        return self._dataset.manifest()

    @cached_property
    def models(self) -> dict[str, Row]:
        """The rows of `models` by model_id."""
        return {row["model_id"]: row for row in self.rows("models", MODELS.names)}

    def rows(self, name: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """Yield the rows of a table; no rows if it is absent, null for columns that it lacks.

        Raises:
            DatasetError: It cannot be read.
        """
        return self._dataset.rows(name, columns)

    def batches(self, name: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield columns of a table in batches; the errors of `rows`."""
        return self._dataset.batches(name, columns)

    def columns(self, name: str) -> list[str]:
        """Return the columns of a table, taken from its first file; none if it is absent."""
        paths = files_of(self.folder, name)
        return list(pq.read_schema(paths[0]).names) if paths else []

    def parts(self) -> Iterator[Path]:
        """Yield the files of the tables that are large enough to have parts."""
        for table in _PARTED:
            yield from self._dataset.table_paths(table)

    def layers(self) -> Iterator[tuple[str, list[SnapshotLayer]]]:
        """Yield each checkpoint in `index` with its layers whose weights were read.

        Raises:
            DatasetError: The rows of a checkpoint are not consecutive, as every export writes them.
        """
        seen: set[str] = set()
        for model_id, rows in groupby(self.rows("index", _LAYER_COLUMNS), key=lambda row: str(row["model_id"])):
            if model_id in seen:
                raise DatasetError(
                    f"{self.name}: data/index is not in order; delete it, and `filtercrawl sync` writes it"
                )
            seen.add(model_id)
            if layers := [_layer(row) for row in rows if row["layer_sha256"] is not None]:
                yield model_id, layers


def _layer(row: Row) -> SnapshotLayer:
    return SnapshotLayer(
        layer_id=row["layer_id"],
        layer_sha256=row["layer_sha256"],
        kernel=row["kernel"],
        n_kernels=row["n_kernels"],
        stored=row["row_group"] is not None,
        weight_kind=row["weight_kind"],
        final=row["run_final"] is not False,
        effective_sha256=row["effective_sha256"] or "",
    )


def align_layers(
    before: DatasetSnapshot | None, after: DatasetSnapshot
) -> Iterator[tuple[str, list[SnapshotLayer], list[SnapshotLayer]]]:
    """Yield every checkpoint that has layers in either dataset, with its layers in both; each once, in any order.

    The order of `index` may differ between versions. Memory: one digest per checkpoint, and the layers of checkpoints
    that differ. `after` is read twice.
    """
    digests = {model_id: _digest(layers) for model_id, layers in after.layers()} if before is not None else {}
    same: set[str] = set()
    differ: dict[str, list[SnapshotLayer]] = {}
    for model_id, layers in before.layers() if before is not None else ():
        if model_id not in digests:
            yield model_id, layers, []
        elif digests[model_id] == _digest(layers):
            same.add(model_id)
        else:
            differ[model_id] = layers
    for model_id, layers in after.layers():
        yield model_id, layers if model_id in same else differ.pop(model_id, []), layers


def set_unchanged_apart(
    before: DatasetSnapshot, after: DatasetSnapshot
) -> tuple[DatasetSnapshot, DatasetSnapshot, DatasetSnapshot]:
    """Return two datasets without the parts of tables whose bytes they have alike, and a third of these alone."""
    paths = [{path.relative_to(side.folder).as_posix() for path in side.parts()} for side in (before, after)]
    same = frozenset(
        path for path in paths[0] & paths[1] if filecmp.cmp(before.folder / path, after.folder / path, shallow=False)
    )
    return (
        replace(before, without=same),
        replace(after, without=same),
        replace(after, without=frozenset(paths[1] - same)),
    )


def _digest(layers: list[SnapshotLayer]) -> bytes:
    return hashlib.blake2b(repr(sorted(layers)).encode(), digest_size=16).digest()


def open_snapshot(name: str, folder: Path, transport: Transport) -> DatasetSnapshot:
    """Open a local dataset, or download the tables of a published version.

    Args:
        name: A folder, `org/name` or `org/name@version`.
        folder: Empty; receives the tables of a published version.
        transport: For requests to the Hub.

    Raises:
        DatasetError: There is no dataset here.
        UsageError: There is no such version.
        NetworkError: The Hub could not be reached.
    """
    if Path(name).is_dir():
        return DatasetSnapshot.open(Path(name), name)
    repository = open_to_read(name, transport)
    commit = repository.resolve()
    repository.fetch(files_to_compare(repository.files(commit)), commit, folder)
    return DatasetSnapshot.open(folder, name)


def files_to_compare(paths: Iterable[str]) -> list[str]:
    """Return the files of a version that a comparison reads."""
    return sorted(path for path in paths if path == manifest.PATH or table_of(path) in TABLES)
