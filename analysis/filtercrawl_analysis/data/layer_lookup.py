"""Rows of Parquet tables, found by their layer_sha256 without reading the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError


class LayerRowLookup:
    """Where the rows of each layer lie in some files; memory is bounded by a row group and what is asked for."""

    def __init__(self, paths: Sequence[Path], schema: pa.Schema, columns: Sequence[str] | None = None) -> None:
        self._columns = list(columns or schema.names)
        self._places: list[tuple[Path, int, pa.ChunkedArray]] = []
        for path in paths:
            with open_parquet(path) as file:
                self._places += [
                    (
                        path,
                        group,
                        file.read_row_group(group, columns=["layer_sha256"], use_threads=False)["layer_sha256"],
                    )
                    for group in range(file.num_row_groups)
                ]

    def tables(self, layers: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows of these layers, a table a row group that has any, in the order of the files."""
        wanted = pa.array(list(dict.fromkeys(layers)), pa.string())
        for path, group, digests in self._places:
            hit = pc.is_in(digests, value_set=wanted)
            if not pc.any(hit).as_py():
                continue
            with open_parquet(path) as file:
                yield file.read_row_group(group, columns=self._columns, use_threads=False).filter(hit)


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file of the dataset; raises DatasetError."""
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); run `filtercrawl sync` to write it again") from error
