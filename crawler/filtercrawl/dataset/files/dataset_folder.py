"""Read the published files of a dataset folder: its manifest, its list of files and its tables."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.table_files import files_of, table_of
from filtercrawl.dataset.files.unpublished import CATALOG, OUTLINE
from filtercrawl.dataset.schema.arrow import SCHEMA_VERSION, TABLES

__all__ = ["DatasetFolder", "no_dataset", "with_schema"]

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)

# Rows that are Python objects at a time.
_BATCH_ROWS: Final = 8192


def no_dataset(path: str | PathLike[str], name: str = "") -> DatasetError:
    """Return the error for a place where a dataset was expected and none is, whichever command was to read it.

    A sync that found nothing leaves a catalog and no tables: a dataset that is empty.

    Args:
        path: The place.
        name: What to call it; its path where empty.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name or fspath(path)):  # a path has one slash of a URL's two
        what = "this command works on a folder; copy the dataset into one"
        return DatasetError(f"{name or fspath(path)}: {what}, as docs/object-stores.md shows")
    if os.path.isfile(os.path.join(path, CATALOG)):  # noqa: PTH113, PTH118
        empty = "the dataset is empty, no checkpoint was read yet"
        return DatasetError(f"{name or fspath(path)}: {empty}; `filtercrawl sync SELECTOR --dataset DIR` fills it")
    # Not pathlib's functions, which raise for a name that is too long.
    if os.path.isdir(os.path.join(path, OUTLINE)):  # noqa: PTH112, PTH118
        what = "no dataset here: a release did not have to download it, or was stopped before"
        return DatasetError(f"{name or fspath(path)}: {what}; that release with --rebuild does, or name its repository")
    if os.path.isdir(path):  # noqa: PTH112
        what = "no dataset here"
    elif os.path.exists(path):  # noqa: PTH110
        what = "no dataset here, but a file; name the folder of a dataset"
    else:
        what = "no dataset here, there is no such folder"
    return DatasetError(f"{name or fspath(path)}: {what}; `filtercrawl sync SELECTOR --dataset DIR` makes one")


@dataclass(frozen=True)
class DatasetFolder:
    """A dataset folder, of which only some tables need to be present.

    Code that must not trust the program that wrote the folder, such as verification, reads the files itself.

    Attributes:
        path: The folder.
        name: What to call it in errors; its path where empty.
        repair: What to do about a file that cannot be read, for errors.
        without: Paths of files that are left out of their tables.
    """

    path: Path
    name: str = ""
    repair: str = "run `filtercrawl sync` to write it again"
    without: frozenset[str] = frozenset()

    def exists(self) -> bool:
        """Tell whether the folder holds a dataset, or part of one."""
        return (self.path / manifest.PATH).is_file() or (self.path / "data").is_dir()

    def require(self) -> None:
        """Check that the folder holds a dataset, or part of one.

        Raises:
            DatasetError: It does not.
        """
        if not self.exists():
            raise no_dataset(self.path, self.name)

    def manifest(self) -> Mapping[str, Any]:
        """Return the content of `manifest.json`; empty where there is none.

        Raises:
            DatasetError: It cannot be read, or is no JSON object.
        """
        try:
            stated = json.loads((self.path / manifest.PATH).read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise self._unreadable(manifest.PATH, error) from error
        if not isinstance(stated, dict):
            raise DatasetError(f"{self}: {manifest.PATH} is no JSON object; {self.repair}")
        return stated

    def schema_version(self) -> int | None:
        """Return the schema version of the tables; None where no readable manifest states one.

        Raises:
            DatasetError: The version is newer than this program, for which the tables may mean something else.
        """
        try:
            version = self.manifest().get("schema_version")
        except DatasetError:
            return None
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            return None
        if version > SCHEMA_VERSION:
            raise DatasetError(
                f"{self}: has schema version {version}, this filtercrawl reads {SCHEMA_VERSION}: update filtercrawl"
            )
        return version

    def stated_files(self, table: str) -> tuple[str, ...] | None:
        """Return the paths of a table's files as the manifest states them; None where it states no tables.

        Raises:
            DatasetError: The manifest cannot be read, or names a file of something else.
        """
        tables = self.manifest().get("tables")
        if not isinstance(tables, dict):
            return None
        paths = tables.get(table, [])
        for path in paths:
            if not isinstance(path, str) or "\\" in path or ".." in path or table_of(path) != table:
                raise DatasetError(f"{self}: {path!r} in {manifest.PATH} is not the path of a file of {table}")
        return tuple(paths)

    def files(self) -> list[File]:
        """Return the published files that `files` lists; empty where there is no such list.

        Raises:
            DatasetError: The list cannot be read, or lacks a value.
        """
        return list(self._listed())

    def _listed(self) -> Iterator[File]:
        """Yield them, a batch of rows in memory."""
        for batch in self.batches("files"):
            if any(column.null_count for column in batch.columns):
                raise self._unreadable(manifest.TABLE, ValueError("it lacks values"))
            yield from (File(**row) for row in batch.to_pylist())

    def damaged_tables(self) -> list[str]:
        """Return the paths of tables and subsets that are missing or have another size than was written, cheaply.

        Also the manifest or the list of files, where these cannot be read.
        """
        try:
            self.manifest()
        except DatasetError:
            return [manifest.PATH]
        owned, layers = ("data/", "subsets/"), "data/layers/"
        try:
            tables = [f for f in self._listed() if f.path.startswith(owned) and not f.path.startswith(layers)]
        except DatasetError:
            return [manifest.TABLE]
        stated = [path for table in ("files", "runs") for path in self.stated_files(table) or ()]
        missing = [path for path in stated if not (self.path / path).is_file()]
        return missing + [file.path for file in tables if _size(self.path / file.path) != file.size]

    def table_paths(self, table: str) -> list[Path]:
        """Return the Parquet files of a table, in the order of its rows."""
        paths = files_of(self.path, table)
        return [path for path in paths if path.relative_to(self.path).as_posix() not in self.without]

    def table(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a table in the types of its schema; empty where it is absent.

        Args:
            table: Its name, for example `index`.
            columns: The columns to read; None for all. One that an older version did not write is null.

        Raises:
            DatasetError: A file cannot be read.
        """
        schema = _schema(table, columns)
        tables = []
        for path in self.table_paths(table):
            with self._open(path) as file:
                read = file.read(columns=_present(file, schema), use_threads=False)
                tables.append(with_schema(read, schema))
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def batches(
        self, table: str, columns: Sequence[str] | None = None, size: int = _BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Yield a table in batches of at most `size` rows; the arguments and errors of `table`."""
        for path in self.table_paths(table):
            yield from self.batches_of(path, table, columns, size)

    def batches_of(
        self, path: Path, table: str, columns: Sequence[str] | None = None, size: int = _BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Yield one file of a table in batches of at most `size` rows; the arguments and errors of `table`."""
        schema = _schema(table, columns)
        with self._open(path) as file:
            for batch in file.iter_batches(batch_size=size, columns=_present(file, schema), use_threads=False):
                yield with_schema(batch, schema)

    def rows(
        self, table: str, columns: Sequence[str] | None = None, size: int = _BATCH_ROWS
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table as dictionaries; the arguments and errors of `table`."""
        for batch in self.batches(table, columns, size):
            yield from batch.to_pylist()

    @contextmanager
    def _open(self, path: Path) -> Iterator[pq.ParquetFile]:
        try:
            with pq.ParquetFile(path) as file:
                yield file
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self._unreadable(path.relative_to(self.path).as_posix(), error) from error

    def _unreadable(self, path: str, error: Exception) -> DatasetError:
        return DatasetError(f"{self}: {path} cannot be read ({error}); {self.repair}")

    def __str__(self) -> str:
        return self.name or str(self.path)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _schema(table: str, columns: Sequence[str] | None) -> pa.Schema:
    schema = TABLES[table]
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


def _present(file: pq.ParquetFile, schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name in file.schema_arrow.names]


def with_schema(rows: Rows, schema: pa.Schema) -> Rows:
    """Return a table or record batch with all columns of a schema, those that it lacks null."""
    columns = [_column(rows, field) for field in schema]
    return type(rows).from_arrays(columns, schema=schema)


def _column(rows: pa.Table | pa.RecordBatch, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    if field.name not in rows.schema.names:
        return pa.nulls(len(rows), field.type)
    column = rows[field.name]
    # A cast, also to the same type, takes a library of Arrow that an idle sync needs for nothing else.
    return column if column.type == field.type else column.cast(field.type)
