"""Rebuild the catalog from the published files, without the weights: how a run starts on an empty machine."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.listing_rows import SourceRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.tables.index_row import fingerprint
from filtercrawl.dataset.tables.samples import Samples
from filtercrawl.extraction.ledger import LedgerEntry

Row = dict[str, Any]


def rebuild_catalog(dataset: Path, catalog: Catalog) -> int:
    """Fill an empty catalog from the tables under `data`; returns the number of checkpoints.

    Raises DatasetError where the tables are missing or cannot be read.
    """
    try:
        with catalog.transaction():
            catalog.set_meta("dataset_id", json.loads((dataset / "manifest.json").read_text("utf-8"))["dataset_id"])
            layers = _layers_by_model(dataset / "data/index.parquet")
            ledger: dict[str, list[LedgerEntry]] = defaultdict(list)
            for path in files_of(dataset, "ledger"):
                for row in _rows(path):
                    ledger[row["model_id"]].append(_entry(row))
            count = 0
            for record in _rows(dataset / "data/models.parquet"):
                model = ModelRow.from_arrow(record)
                rows = layers.get(model.model_id, [])
                catalog.put_model(model, fingerprint(rows))
                catalog.put_content(model.model_id, rows, ledger.pop(model.model_id, []))
                count += 1
            catalog.put_samples(_samples(files_of(dataset, "samples"), layers))
            for path in files_of(dataset, "sketches"):
                catalog.put_sketches(_rows(path, 256))
            _listings(dataset, catalog)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DatasetError(
            f"{dataset}: the published tables cannot be read ({error}); start in an empty folder"
        ) from error
    return count


def _rows(path: Path, at_once: int = 8192) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=at_once):
            yield from batch.to_pylist()


def _optional(path: Path) -> Iterator[Row]:
    """A table without rows is no file."""
    if path.is_file():
        yield from _rows(path)


def _layers_by_model(path: Path) -> dict[str, list[IndexRow]]:
    layers: dict[str, list[IndexRow]] = defaultdict(list)
    for row in map(IndexRow.from_arrow, _optional(path)):
        layers[row.model_id].append(row)
    return layers


def _entry(row: Row) -> LedgerEntry:
    return LedgerEntry(tensor=row["tensor"], shape=tuple(row["shape"]), dtype=row["dtype"], reason=row["reason"])


def _samples(paths: list[Path], layers: dict[str, list[IndexRow]]) -> Iterator[tuple[str, Samples]]:
    width = {row.layer_id: row.shape[1] for rows in layers.values() for row in rows}
    picked: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    layer_of: dict[str, str] = {}
    for row in (row for path in paths for row in _rows(path)):
        if layer_of.setdefault(row["layer_sha256"], row["layer_id"]) == row["layer_id"]:
            position = row["out_channel"] * width[row["layer_id"]] + row["in_channel"]
            picked[row["layer_sha256"]].append((position, row["values"]))
    for digest, kernels in picked.items():
        positions = np.array([position for position, _ in kernels], np.int64)
        yield digest, Samples(positions=positions, values=np.array([values for _, values in kernels], np.float32))


def _listings(dataset: Path, catalog: Catalog) -> None:
    for row in _optional(dataset / "data/files.parquet"):
        if row["path"].startswith("data/layers/"):
            catalog.put_layer_file(row["path"], row["size"], row["sha256"])
    for row in _optional(dataset / "data/renames.parquet"):
        source = row["model_id"].partition("/")[0]
        catalog.put_rename(source, row["new_name"], row["model_id"], row["old_name"], row["seen"])
    for row in _optional(dataset / "data/sources.parquet"):
        catalog.put_selector(SourceRow.from_arrow(row))
    for row in _optional(dataset / "data/withdrawn.parquet"):
        catalog.put_withdrawn(row["model_id"], row["reason"], row["withdrawn"])
