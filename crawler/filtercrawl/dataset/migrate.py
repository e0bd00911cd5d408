"""Migrate a dataset folder to the current schema version: in place, table by table, without touching the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError
from filtercrawl.config import Settings
from filtercrawl.dataset.catalog.recovery import export_if_needed, open_catalog
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.dataset_folder import DatasetFolder, with_schema
from filtercrawl.dataset.files.lock import locked
from filtercrawl.dataset.files.parquet import write_table
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.dataset.schema.arrow import SCHEMA_VERSION, TABLES

# Function by version that turns its tables into those of the next version; it may run again on what a killed run left.
# Within a version only nullable columns are added, which needs no function. Version 1 is the first.
STEPS: Final[Mapping[int, Callable[[Path], None]]] = {}


@dataclass(frozen=True, kw_only=True)
class MigrationResult:
    """What a migration did.

    Attributes:
        before: The schema version that the manifest stated.
        added: The added columns, by path of the table.
        changed: The paths written.
    """

    before: int
    added: dict[str, list[str]]
    changed: tuple[str, ...]


def migrate_dataset(settings: Settings) -> MigrationResult:
    """Bring the dataset folder to this version's schema; nothing happens to one that is there already.

    Every table is replaced as a whole, the manifest last: killed at any point, the next run ends with the same files.
    Layers files stay as they are.

    Raises:
        DatasetError: A newer version wrote the dataset, or it has no manifest.
        ConflictError: Another run works on the dataset.
    """
    dataset = settings.dataset
    before = DatasetFolder(dataset).schema_version()
    if before is None:
        DatasetFolder(dataset).require()
        raise DatasetError(f"{dataset}: no {manifest.PATH} states the schema version; run `filtercrawl sync`")
    with locked(dataset):
        for version in range(before, SCHEMA_VERSION):
            STEPS[version](dataset)
        added = dict(_widened(dataset))
        with open_catalog(settings) as catalog:
            if not added and before == SCHEMA_VERSION and not catalog.needs_export:
                return MigrationResult(before=before, added={}, changed=())
            catalog.set_meta("stale", "1")
            export_if_needed(dataset, catalog)
    return MigrationResult(before=before, added=added, changed=tuple(sorted([*added, manifest.TABLE, manifest.PATH])))


def _widened(dataset: Path) -> Iterator[tuple[str, list[str]]]:
    """Write the tables again that lack columns, with these null; yield path and columns."""
    for name, schema in TABLES.items():
        for path in files_of(dataset, name):
            try:
                with pq.ParquetFile(path) as file:
                    there = file.schema_arrow
                    lacking = [column for column in schema.names if column not in there.names]
                    if not lacking:
                        continue
                    _refuse_required(path, schema, lacking)
                    write_table(dataset, path.relative_to(dataset).as_posix(), schema, _batches(file, schema))
            except (OSError, pa.ArrowException) as error:
                raise DatasetError(f"{path}: cannot be read ({error})") from error
            yield path.relative_to(dataset).as_posix(), lacking


def _batches(file: pq.ParquetFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield row groups with the columns that the schema has and they have not."""
    for number in range(file.num_row_groups):
        for batch in file.read_row_group(number).to_batches():
            yield with_schema(batch, schema)


def _refuse_required(path: Path, schema: pa.Schema, lacking: list[str]) -> None:
    required = [name for name in lacking if not schema.field(name).nullable]
    if required:
        raise DatasetError(f"{path}: lacks {', '.join(required)}, which every version has; it is damaged")
