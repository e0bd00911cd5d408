"""Lookup of rows of Parquet tables by a hash, without reading other row groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError


class LayerRowLookup:
    """Finds the rows of layers in files by an index of the hashes of each row group.

    Memory is bounded by one row group and the rows that are asked for.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        schema: pa.Schema,
        columns: Sequence[str] | None = None,
        key: str = "layer_sha256",
    ) -> None:
        """Index files.

        Args:
            paths: The files.
            schema: Their schema.
            columns: The columns to return; by default all of the schema.
            key: The column by which layers are found.

        Raises:
            DatasetError: A file cannot be read.
        """
        self._columns = list(columns or schema.names)
        self._row_groups: list[tuple[Path, int, pa.ChunkedArray]] = []
        for path in paths:
            with open_parquet(path) as file:
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group, columns=[key], use_threads=False)
                    self._row_groups.append((path, group, rows[key]))

    def tables(self, layers: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows of these layers, one table for each row group that has any, in the order of the files."""
        wanted = pa.array(list(dict.fromkeys(layers)), pa.string())
        for path, group, digests in self._row_groups:
            mask = pc.is_in(digests, value_set=wanted)
            if not pc.any(mask).as_py():
                continue
            with open_parquet(path) as file:
                yield file.read_row_group(group, columns=self._columns, use_threads=False).filter(mask)


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file of the dataset.

    Raises:
        DatasetError: The file cannot be read.
    """
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); run `filtercrawl sync` to write it again") from error
