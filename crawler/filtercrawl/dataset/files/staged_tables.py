"""Write tables beside those that are there, then put them in their place together."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from filtercrawl.dataset.files.atomic import move, remove, sync_to_disk, temporary
from filtercrawl.dataset.files.parquet import Table, encode_table


class StagedTables:
    """Files of tables that are written and not yet in their place; a context manager.

    Where a part of a table becomes two, a reader that lists the folder sees the old one or the new ones: between them
    there are some renames and no work. What was not put in its place is deleted at the end of the context.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scratch = ExitStack()
        self._waiting: list[tuple[Path, Path]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete what was not put in its place; an error of the disk becomes a DatasetError."""
        self._scratch.__exit__(kind, error, trace)

    def write(self, path: str, schema: pa.Schema, content: Iterable[pa.RecordBatch]) -> Table | None:
        """Write record batches for what is to be at `path`; see `write_table`."""
        target = self._folder / path
        scratch = self._scratch.enter_context(temporary(target, self._folder))
        table = encode_table(scratch, path, schema, content)
        if table is None:
            return None
        if target.is_file() and filecmp.cmp(scratch, target, shallow=False):
            scratch.unlink()
            return replace(table, changed=False)
        sync_to_disk(scratch)
        self._waiting.append((scratch, target))
        return table

    def install(self, obsolete: Iterable[str]) -> list[str]:
        """Put all files in their place, and remove those that these replace; return the paths of the latter."""
        for scratch, target in self._waiting:
            move(scratch, target)
        self._waiting = []
        return [path for path in obsolete if remove(self._folder / path)]
