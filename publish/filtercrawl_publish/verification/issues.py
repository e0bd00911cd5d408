"""Issues found in a dataset, and access to the files of a dataset that have been verified."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.subset_folders import SPLIT_FILE
from filtercrawl.dataset.files.table_files import paths_of, table_of
from filtercrawl.dataset.schema.arrow import LAYERS, TABLES
from filtercrawl.dataset.schema.subset_rows import SubsetRow

# Untyped: the stubs of pyarrow reject expressions and columns in most of its functions.
pc: Final[Any] = pyarrow.compute


@dataclass(frozen=True, kw_only=True)
class Issue:
    """One thing that is wrong.

    Attributes:
        where: Path in the dataset, with the id of a row if it concerns one.
        what: What is wrong.
    """

    where: str
    what: str

    def __str__(self) -> str:
        # Ids come from untrusted files: whatever they contain, an issue stays one printable line.
        line = f"{self.where}: {self.what}"
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


@dataclass(frozen=True, kw_only=True)
class CheckedFolder:
    """A dataset folder whose file list has been compared with its files.

    Attributes:
        path: The folder.
        files: As `files` lists them.
        lists: The files of `files` that can be read.
        verified_files: Paths of files that match the list and can be read.
        fetch_file: Downloads a layers file without a local copy; None if all are local.
    """

    path: Path
    files: tuple[File, ...]
    lists: tuple[File, ...] = ()
    verified_files: frozenset[str] = frozenset()
    fetch_file: Callable[[str], None] | None = None

    def layers(self) -> list[str]:
        """Return the paths of the readable layers files."""
        return sorted(path for path in self.verified_files if path.startswith("data/layers/"))

    def tables(self, name: str) -> list[str]:
        """Return the paths of the readable files of a table."""
        return paths_of(self.verified_files, name)

    def is_complete(self, *names: str) -> bool:
        """Return whether all listed files of these tables can be read; a part of a table proves nothing."""
        return all(file.path in self.verified_files for file in self.files if table_of(file.path) in names)

    @contextmanager
    def materialize(self, path: str) -> Iterator[None]:
        """Download a layers file if it has no local copy; deleted again at the end of the context."""
        if self.fetch_file is None or (self.path / path).is_file():
            yield
            return
        self.fetch_file(path)
        try:
            yield
        finally:
            (self.path / path).unlink(missing_ok=True)

    def open(self, path: str) -> pq.ParquetFile:
        """Open a Parquet file."""
        return pq.ParquetFile(self.path / path)

    def table(self, name: str, columns: Iterable[str]) -> Any:
        """Read columns of a table as one `pa.Table`; for tables with one row per checkpoint or layer."""
        schema = pa.schema([TABLES[name].field(column) for column in columns])
        parts = [self.open(path).read(columns=schema.names).cast(schema) for path in self.tables(name)]
        return pa.concat_tables([schema.empty_table(), *parts])

    def batches(self, name: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Read a table of any length, 100,000 rows at a time."""
        for path in self.tables(name):
            yield from self.open(path).iter_batches(batch_size=100_000, columns=columns)


def schema_of(path: str) -> pa.Schema | None:
    """Return the schema that a published Parquet file must have; None if it may have any."""
    if SPLIT_FILE.fullmatch(path):
        return SubsetRow.SCHEMA
    name = table_of(path)
    return LAYERS if name == "layers" else TABLES.get(name or "")
