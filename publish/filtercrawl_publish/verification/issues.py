"""What is wrong with a dataset folder, and how its Parquet files are opened without trust."""

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
from filtercrawl.dataset.files.table_files import table_of
from filtercrawl.dataset.schema.arrow import LAYERS, TABLES

# Without types: the stubs of pyarrow refuse expressions and columns in most of its functions.
pc: Final[Any] = pyarrow.compute


@dataclass(frozen=True, kw_only=True)
class Issue:
    """One thing that is wrong. where: a path in the dataset, with the id of a row if it is about one."""

    where: str
    what: str

    def __str__(self) -> str:
        # Ids come from strangers' files: whatever they hold, a finding stays one line.
        line = f"{self.where}: {self.what}"
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


@dataclass(frozen=True, kw_only=True)
class DatasetFolder:
    """A dataset folder. files: as `data/files.parquet` lists them; sound: paths of files that can be read.

    fetch_file: puts a file that lies elsewhere into its place, to be deleted when it was looked at; None where all are
    here.
    """

    path: Path
    files: tuple[File, ...]
    verified_files: frozenset[str] = frozenset()
    fetch_file: Callable[[str], None] | None = None

    def layers(self) -> list[str]:
        return sorted(path for path in self.verified_files if path.startswith("data/layers/"))

    def tables(self, name: str) -> list[str]:
        """Return the readable files of a config: one or a few, or so for each source."""
        return sorted(path for path in self.verified_files if table_of(path) == name)

    def whole(self, *names: str) -> bool:
        """Tell whether all listed files of these configs can be read; half a table proves nothing."""
        return all(file.path in self.verified_files for file in self.files if table_of(file.path) in names)

    @contextmanager
    def materialize(self, path: str) -> Iterator[None]:
        """Have a file of layers in its place for as long as it is looked at."""
        if self.fetch_file is None or (self.path / path).is_file():
            yield
            return
        self.fetch_file(path)
        try:
            yield
        finally:
            (self.path / path).unlink(missing_ok=True)

    def open(self, path: str) -> pq.ParquetFile:
        return pq.ParquetFile(self.path / path)

    def table(self, name: str, columns: Iterable[str]) -> Any:
        """Read columns of a config as one `pa.Table`; for tables of one row a checkpoint or a layer."""
        wanted = pa.schema([TABLES[name].field(column) for column in columns])
        parts = [self.open(path).read(columns=wanted.names).cast(wanted) for path in self.tables(name)]
        return pa.concat_tables([wanted.empty_table(), *parts])

    def batches(self, name: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Read a config of any length, 100,000 rows at a time."""
        for path in self.tables(name):
            yield from self.open(path).iter_batches(batch_size=100_000, columns=columns)


def schema_of(path: str) -> pa.Schema | None:
    name = table_of(path)
    return LAYERS if name == "layers" else TABLES.get(name or "")
