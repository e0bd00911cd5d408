"""Take the parts of the tables from which a catalog was made for what it has written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.parquet import Table
from filtercrawl.dataset.files.table_files import OTHER_FILES, PARTED, Part, files_of, table_path
from filtercrawl.dataset.schema.arrow import TABLES
from filtercrawl.dataset.tables.part_records import ExportRecord, PartRecord
from filtercrawl.dataset.tables.part_writer import part_record
from filtercrawl.dataset.tables.rows import PartRows, Rows

# `preview` has parts of its own, and is written again.
_TABLES = tuple(name for name in PARTED if name != "preview")


def note_restored_parts(folder: Path, rows: Rows) -> bool:
    """Note that the parts in a folder are as an export of `rows` left them, so that the next one keeps them.

    The next export then writes what it would have written where the parts were made: `last_seen` is as of the last
    change of a part, and a version sends no part again that has not changed. Nothing is noted where the folder has
    other parts than `rows` make, or other columns: then all are written again.

    Args:
        folder: The dataset folder, whose files have the hashes that are listed.
        rows: The rows of all tables, read from the folder just now.

    Returns:
        Whether the parts were noted.

    Raises:
        DatasetError: A layers file in the folder has another size than is listed.
    """
    rows.spread_changes()
    plan = rows.plan_parts(rows.changed_models())
    found = {path.relative_to(folder).as_posix() for name in _TABLES for path in files_of(folder, name)} - {OTHER_FILES}
    records: dict[Part, PartRecord] = {}
    for part in plan.parts:
        record = _record_of(folder, part, rows)
        if record is None:
            return False
        records[part] = record
        found -= {table.path for table in record.tables}
    if found:
        return False
    rows.put_export(plan, ExportRecord(parts=records))
    return True


def _record_of(folder: Path, part: Part, rows: PartRows) -> PartRecord | None:
    """Return the record of a part; None where its files have other rows or columns than an export writes."""
    owners = list(rows.models_of(rows.models_in(part)))
    layers = list(rows.index(owners))
    try:
        tables = {name: table for name in _TABLES if (table := _table(folder, name, part)) is not None}
    except (ValueError, pa.ArrowException):
        return None
    counted = [tables[name].rows if name in tables else 0 for name in ("models", "index")]
    if counted != [len(owners), len(layers)]:
        return None
    weights = manifest.layer_files(folder, rows.layer_files_of(owners))
    return part_record(owners, layers, weights, tables.values())


def _table(folder: Path, name: str, part: Part) -> Table | None:
    """Return a file of a part, None where there is none; raises ValueError for one of other columns."""
    path = table_path(name, part)
    if not (folder / path).is_file():
        return None
    with pq.ParquetFile(folder / path) as file:
        if not file.schema_arrow.equals(TABLES[name]):
            raise ValueError(f"{path} has other columns")
        return Table(**vars(manifest.hashed_file(folder, path)), rows=file.metadata.num_rows, changed=False)
