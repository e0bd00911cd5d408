"""Write the files of one part of the tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from filtercrawl.dataset.card.counts import DatasetCounts
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.parquet import ContentDefinedBoundary, File, Table, record_batches
from filtercrawl.dataset.files.staged_tables import StagedTables
from filtercrawl.dataset.files.table_files import Part, table_path
from filtercrawl.dataset.schema.arrow import FILES, TABLES
from filtercrawl.dataset.schema.column import TableRow
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.tables import effective, samples, sketches
from filtercrawl.dataset.tables.part_records import PartRecord
from filtercrawl.dataset.tables.rows import PartRows

# Row groups of `index` have some hundred kilobytes.
_CUT: Final = ContentDefinedBoundary(key="layer_id", one_in=1_000)


def write_part(folder: Path, part: Part, rows: PartRows, staged: StagedTables) -> PartRecord:
    """Write the rows of one part, to be put in their place later.

    Args:
        folder: The dataset folder.
        part: Which checkpoints.
        rows: The rows of all tables.
        staged: Receives the files.

    Raises:
        DatasetError: The disk refuses, or a layers file is not what was written.
    """
    owners = list(rows.models_of(rows.models_in(part)))
    layers = list(rows.index(owners))
    weights = manifest.layer_files(folder, rows.layer_files_of(owners))
    content: dict[str, Iterable[pa.RecordBatch]] = {
        "models": _batches("models", owners),
        "index": record_batches((row.to_arrow() for row in layers), TABLES["index"], cut=_CUT),
        "ledger": _batches("ledger", rows.ledger(owners)),
        "samples": samples.sample_batches(layers, rows.samples),
        "sketches": sketches.sketch_batches(rows.sketches(layers)),
        "effective": effective.effective_batches(rows.effective(owners)),
    }
    tables = [
        table
        for name, batches in content.items()
        if (table := staged.write(table_path(name, part), TABLES[name], batches)) is not None
    ]
    if listing := staged.write(table_path("files", part), FILES, listing_of([*weights, *tables])):
        tables.append(listing)
    return part_record(owners, layers, weights, tables)


def part_record(
    owners: Iterable[ModelRow], layers: Sequence[IndexRow], weights: Sequence[File], tables: Iterable[Table]
) -> PartRecord:
    """Return the record of a part.

    Args:
        owners: Its rows of `models`.
        layers: Its rows of `index`.
        weights: The layers files of its checkpoints.
        tables: Its files.
    """
    counts = DatasetCounts()
    for layer in layers:
        counts.add_layer(layer)
    for owner in owners:
        counts.add_model(owner)
    counts.add_files(weights)
    return PartRecord(counts=counts, tables=tuple(tables), redistributable=tuple(_redistributable(weights, layers)))


def listing_of(files: Iterable[File]) -> Iterator[pa.RecordBatch]:
    """Return the rows of `files` that list files, by path."""
    ordered = sorted(files, key=lambda file: file.path)
    return record_batches(({"path": file.path, "size": file.size, "sha256": file.sha256} for file in ordered), FILES)


def _batches(name: str, rows: Iterable[TableRow]) -> Iterator[pa.RecordBatch]:
    return record_batches((row.to_arrow() for row in rows), TABLES[name])


def _redistributable(weights: Iterable[File], layers: Iterable[IndexRow]) -> Iterator[Table]:
    """Yield the layers files that everybody may redistribute, with the number of their rows."""
    rows: dict[str | None, int] = {}
    for layer in layers:
        if layer.stored and layer.redistributable:
            rows[layer.file] = rows.get(layer.file, 0) + layer.n_parts
    for file in weights:
        if file.path in rows:
            yield Table(**vars(file), rows=rows[file.path], changed=False)
