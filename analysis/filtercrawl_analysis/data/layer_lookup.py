"""Lookup of rows of Parquet tables by a hash, without reading other row groups."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError

# Bytes of row groups that stay in memory: analyses ask for the same layers one after the other.
_KEPT_BYTES: Final = 64 * 1024**2


class LayerRowLookup:
    """Finds the rows of layers in files by an index of the hashes of each row group.

    The index has eight bytes for each layer and row group. Beside it, memory is bounded by 64 MiB of row groups, and
    the rows that are asked for.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        schema: pa.Schema,
        columns: Sequence[str] | None = None,
        key: str = "layer_sha256",
    ) -> None:
        """Describe the files; they are read when layers are asked for.

        Args:
            paths: The files.
            schema: Their schema.
            columns: The columns to return, `key` among them; by default all of the schema.
            key: The column by which layers are found.
        """
        self._paths = paths
        self._columns = list(columns or schema.names)
        self._key = key
        self._kept: OrderedDict[int, pa.Table] = OrderedDict()
        self._kept_bytes = 0

    def tables(self, layers: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows of these layers, one table for each row group that has any, in the order of the files.

        Raises:
            DatasetError: A file cannot be read.
        """
        wanted = pa.array(list(dict.fromkeys(layers)), pa.string())
        for place in self._places(wanted):
            rows = self._read(place)
            found = rows.filter(pc.is_in(rows[self._key], value_set=wanted))
            if found.num_rows:
                yield found

    def _places(self, wanted: pa.Array) -> list[int]:
        """Return the row groups that may have rows of these layers, in their order."""
        _, checksums, places = self._index
        asked = np.unique(_checksums(wanted))
        first, last = np.searchsorted(checksums, asked), np.searchsorted(checksums, asked, "right")
        found = [places[start:stop] for start, stop in zip(first.tolist(), last.tolist(), strict=True) if stop > start]
        return np.unique(np.concatenate(found)).tolist() if found else []

    def _read(self, place: int) -> pa.Table:
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        path, group = self._index[0][place]
        with open_parquet(path) as file:
            rows = file.read_row_group(group, columns=self._columns, use_threads=False)
        self._kept[place] = rows
        self._kept_bytes += rows.nbytes
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return rows

    @cached_property
    def _index(self) -> tuple[list[tuple[Path, int]], NDArray[np.uint32], NDArray[np.int32]]:
        """File and number of each row group, and checksums of the hashes, sorted, with the row group of each.

        Of two hashes with one checksum, the row groups of both are read.
        """
        groups: list[tuple[Path, int]] = []
        checksums, places = [np.empty(0, np.uint32)], [np.empty(0, np.int32)]
        for path in self._paths:
            with open_parquet(path) as file:
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group, columns=[self._key], use_threads=False)
                    checksums.append(_checksums(pc.unique(rows[self._key])))
                    places.append(np.full(len(checksums[-1]), len(groups), np.int32))
                    groups.append((path, group))
        all_checksums = np.concatenate(checksums)
        order = np.argsort(all_checksums, kind="stable")
        return groups, all_checksums[order], np.concatenate(places)[order]


def _checksums(hashes: pa.Array | pa.ChunkedArray) -> NDArray[np.uint32]:
    known = (name.encode() for name in hashes.to_pylist() if name is not None)
    return np.fromiter(map(zlib.crc32, known), np.uint32)


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file of the dataset.

    Raises:
        DatasetError: The file cannot be read.
    """
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); run `filtercrawl sync` to write it again") from error
