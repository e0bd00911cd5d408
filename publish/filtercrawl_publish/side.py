"""One of two datasets that are compared: what its tables say, read a checkpoint at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.dataset import manifest
from filtercrawl.errors import DatasetError, UsageError
from filtercrawl.schema import MODELS

Row = dict[str, Any]
# Rows of `index` looked at together.
_BATCH_ROWS: Final = 8192
_LAYER: Final = ("model_id", "layer_id", "layer_sha256", "kernel", "n_kernels", "file", "weight_kind", "run_final")
# Everything that a comparison reads; the weights are not among it.
TABLES: Final = ("models", "index", "withdrawn", "renames")


class Layer(NamedTuple):
    """A row of `index`; stored: whether the dataset holds its weight; final: whether its checkpoint ends its run."""

    layer_id: str
    layer_sha256: str
    kernel: str
    n_kernels: int
    stored: bool
    weight_kind: str
    final: bool


@dataclass(frozen=True)
class Side:
    """A dataset folder, of which only tables need to be there; name: how it is called in what is told of it."""

    folder: Path
    name: str

    @classmethod
    def of(cls, folder: Path, name: str) -> Side:
        """Raises UsageError where no dataset is."""
        if not (folder / manifest.PATH).is_file() and not (folder / "data").is_dir():
            raise UsageError(f"{name}: is no dataset: neither {manifest.PATH} nor data/ is there")
        return cls(folder, name)

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """manifest.json; empty where there is none. Raises DatasetError where it cannot be read."""
        try:
            found = json.loads((self.folder / manifest.PATH).read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise DatasetError(f"{self.name}: {manifest.PATH} cannot be read ({error})") from error
        return found if isinstance(found, dict) else {}

    @cached_property
    def models(self) -> dict[str, Row]:
        """The rows of `models` by model_id."""
        return {row["model_id"]: row for row in self.rows("models", MODELS.names)}

    def rows(self, name: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """Yield the rows of a table; none where it is absent, null where it lacks a column."""
        path = self.folder / f"data/{name}.parquet"
        if not path.is_file():
            return
        try:
            with pq.ParquetFile(path) as file:
                there = None if columns is None else [column for column in columns if column in file.schema_arrow.names]
                blank = dict.fromkeys(columns or ())
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=there):
                    yield from (blank | row for row in batch.to_pylist())
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DatasetError(f"{self.name}: data/{name}.parquet cannot be read ({error})") from error

    def columns(self, name: str) -> list[str]:
        """Return the columns of a table, of the first file where it has several; none where it is absent."""
        for path in (self.folder / f"data/{name}.parquet", *sorted((self.folder / f"data/{name}").glob("*.parquet"))):
            if path.is_file():
                return list(pq.read_schema(path).names)
        return []

    def layers(self) -> Iterator[tuple[str, list[Layer]]]:
        """Yield each checkpoint that has layers whose weights were read, and these layers, sorted by model_id.

        Raises DatasetError where `index` is not sorted as every export writes it.
        """
        last = ""
        for model_id, rows in groupby(self.rows("index", _LAYER), key=lambda row: str(row["model_id"])):
            if model_id < last:
                raise DatasetError(f"{self.name}: data/index.parquet is not sorted by model_id; run `filtercrawl sync`")
            last = model_id
            if found := [_layer(row) for row in rows if row["layer_sha256"] is not None]:
                yield model_id, found


def _layer(row: Row) -> Layer:
    return Layer(
        layer_id=row["layer_id"],
        layer_sha256=row["layer_sha256"],
        kernel=row["kernel"],
        n_kernels=row["n_kernels"],
        stored=row["file"] is not None,
        weight_kind=row["weight_kind"],
        final=row["run_final"] is not False,
    )


def side_by_side(before: Side | None, after: Side) -> Iterator[tuple[str, list[Layer], list[Layer]]]:
    """Yield every checkpoint that has layers on either side, with those of both; one is in memory at a time."""
    left: Iterator[tuple[str, list[Layer]]] = iter(()) if before is None else before.layers()
    right = after.layers()
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        model_id = min(side[0] for side in (a, b) if side is not None)
        here_a = a[1] if a is not None and a[0] == model_id else []
        here_b = b[1] if b is not None and b[0] == model_id else []
        yield model_id, here_a, here_b
        if a is not None and a[0] == model_id:
            a = next(left, None)
        if b is not None and b[0] == model_id:
            b = next(right, None)
