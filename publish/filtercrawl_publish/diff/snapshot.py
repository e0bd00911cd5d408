"""One of two datasets that are compared: what its tables say, read a checkpoint at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.schema.arrow import MODELS

Row = dict[str, Any]
# Rows of `index` looked at together.
_BATCH_ROWS: Final = 8192
_LAYER: Final = ("model_id", "layer_id", "layer_sha256", "kernel", "n_kernels", "file", "weight_kind", "run_final")
# Everything that a comparison reads; the weights are not among it.
TABLES: Final = ("models", "index", "withdrawn", "renames")


class SnapshotLayer(NamedTuple):
    """A row of `index`; stored: whether the dataset holds its weight; final: whether its checkpoint ends its run."""

    layer_id: str
    layer_sha256: str
    kernel: str
    n_kernels: int
    stored: bool
    weight_kind: str
    final: bool


@dataclass(frozen=True)
class DatasetSnapshot:
    """A dataset folder, of which only tables need to be there; name: how it is called in what is told of it."""

    folder: Path
    name: str

    @classmethod
    def open(cls, folder: Path, name: str) -> DatasetSnapshot:
        """Raises UsageError where no dataset is, DatasetError for one that a newer version wrote."""
        if not DatasetFolder(folder).exists():
            raise UsageError(f"{name}: is no dataset: neither {manifest.PATH} nor data/ is there")
        DatasetFolder(folder, name).schema_version()
        return cls(folder, name)

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """manifest.json; empty where there is none. Raises DatasetError where it cannot be read."""
        return DatasetFolder(self.folder, self.name).manifest()

    @cached_property
    def models(self) -> dict[str, Row]:
        """The rows of `models` by model_id."""
        return {row["model_id"]: row for row in self.rows("models", MODELS.names)}

    def rows(self, name: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """Yield the rows of a table; none where it is absent, null where it lacks a column."""
        return DatasetFolder(self.folder, self.name).rows(name, columns)

    def columns(self, name: str) -> list[str]:
        """Return the columns of a table, of the first file where it has several; none where it is absent."""
        for path in (self.folder / f"data/{name}.parquet", *sorted((self.folder / f"data/{name}").glob("*.parquet"))):
            if path.is_file():
                return list(pq.read_schema(path).names)
        return []

    def layers(self) -> Iterator[tuple[str, list[SnapshotLayer]]]:
        """Yield each checkpoint that has layers whose weights were read, and these layers, in the order of `index`.

        Raises DatasetError where the rows of a checkpoint do not lie together, as every export writes them.
        """
        seen: set[str] = set()
        for model_id, rows in groupby(self.rows("index", _LAYER), key=lambda row: str(row["model_id"])):
            if model_id in seen:
                raise DatasetError(f"{self.name}: data/index.parquet is not in order; run `filtercrawl sync`")
            seen.add(model_id)
            if found := [_layer(row) for row in rows if row["layer_sha256"] is not None]:
                yield model_id, found


def _layer(row: Row) -> SnapshotLayer:
    return SnapshotLayer(
        layer_id=row["layer_id"],
        layer_sha256=row["layer_sha256"],
        kernel=row["kernel"],
        n_kernels=row["n_kernels"],
        stored=row["file"] is not None,
        weight_kind=row["weight_kind"],
        final=row["run_final"] is not False,
    )


def align_layers(
    before: DatasetSnapshot | None, after: DatasetSnapshot
) -> Iterator[tuple[str, list[SnapshotLayer], list[SnapshotLayer]]]:
    """Yield every checkpoint that has layers on either side, with those of both, each once and in no order.

    The order of `index` may change with every version. Memory: a digest a checkpoint, and the layers of those that are
    on both sides and differ. `after` is read twice.
    """
    marks = {model_id: _mark(layers) for model_id, layers in after.layers()} if before is not None else {}
    same: set[str] = set()
    differ: dict[str, list[SnapshotLayer]] = {}
    for model_id, layers in before.layers() if before is not None else ():
        if model_id not in marks:
            yield model_id, layers, []
        elif marks[model_id] == _mark(layers):
            same.add(model_id)
        else:
            differ[model_id] = layers
    for model_id, layers in after.layers():
        yield model_id, layers if model_id in same else differ.pop(model_id, []), layers


def _mark(layers: list[SnapshotLayer]) -> bytes:
    return hashlib.blake2b(repr(sorted(layers)).encode(), digest_size=16).digest()
