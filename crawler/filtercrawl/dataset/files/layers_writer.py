"""Write the immutable layers file of one checkpoint, row group by row group, in a staging folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from filtercrawl.api.local_file import LocalFile
from filtercrawl.api.range_file import sha256
from filtercrawl.dataset.files.atomic import sync_to_disk
from filtercrawl.dataset.schema.arrow import LAYERS, ROW_GROUP_BYTES, SCHEMA_VERSION
from filtercrawl.dataset.schema.layer_row import LayerRow

# One file format for every reader: zstd-1 over byte_stream_split is the best of the layouts measured.
WRITER_OPTIONS: Final[Mapping[str, Any]] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": [name for name in LAYERS.names if name != "weight"],
    "column_encoding": None,
    "use_byte_stream_split": ["weight.list.element"],
    "write_page_index": True,
    "version": "2.6",
    "data_page_version": "1.0",
}


class StagedFile(NamedTuple):
    """A finished file in the staging folder.

    Attributes:
        staged: The file.
        path: Where it belongs in the dataset.
        size: Its bytes.
        sha256: Its SHA-256.
    """

    staged: Path
    path: str
    size: int
    sha256: str


@contextmanager
def staging(folder: Path, model_id: str) -> Iterator[LayersFileWriter]:
    """Open a file in the staging folder; it is deleted if the block raises."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{hashlib.sha256(model_id.encode()).hexdigest()[:32]}.parquet"
    try:
        with LayersFileWriter(path) as writer:
            yield writer
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class LayersFileWriter:
    """Collects rows into row groups of one (kernel, depthwise) and hashes what they say.

    The weights of a row group lie one after another in one buffer: `reserve` returns the memory for the next row, and
    whoever reads a weight reads it there. The buffer is used again for the next row group.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[LayerRow] = []
        self._bytes = 0
        self._buffer = np.empty(0, np.float32)
        self._written = 0
        self._key: tuple[str, int] | None = None
        self.digest = hashlib.sha256(f"filtercrawl layers {SCHEMA_VERSION}\n".encode())

    def __enter__(self) -> LayersFileWriter:
        # By its path: pyarrow writes to a file object of Python through copies of all bytes.
        self._parquet = pq.ParquetWriter(self._path, LAYERS, **WRITER_OPTIONS)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._parquet.close()
        sync_to_disk(self._path)
        # The pool would keep what it took to write a row group.
        pa.default_memory_pool().release_unused()

    def start(self, key: tuple[str, int], upcoming: int) -> int:
        """Begin a layer whose first row has `upcoming` bytes; return the row group of that row."""
        if self._key != key or self._bytes + upcoming > ROW_GROUP_BYTES:
            self._flush()
        self._key = key
        return self._written

    def reserve(self, count: int) -> NDArray[np.float32]:
        """Return the memory of the weight of the next row, of the layer that was started last.

        It keeps what is put there until a row is added and memory is reserved once more.

        Args:
            count: Numbers of the weight.
        """
        if self._rows and self._bytes + 4 * count > ROW_GROUP_BYTES:
            self._flush()
        used = self._bytes // 4
        if used + count > len(self._buffer):
            self._buffer = np.empty(max(count, ROW_GROUP_BYTES // 4), np.float32)
        return self._buffer[used : used + count]

    def add(self, row: LayerRow) -> None:
        """Add the next row; a weight that is not in the memory that was reserved last is copied there."""
        if not np.may_share_memory(row.weight, self._buffer):
            memory = self.reserve(len(row.weight))
            memory[:] = row.weight
            row = replace(row, weight=memory)
        self._rows.append(row)
        self._bytes += row.weight.nbytes
        self.digest.update(json.dumps(_without_weight(row), sort_keys=True).encode() + b"\n")

    def finished(self, model_id: str, source: str) -> StagedFile:
        """Describe the closed file; its path in the dataset follows from its content."""
        digest = self.digest.hexdigest()[:32]
        name = f"{filename_slug(model_id.partition('/')[2])}-{digest}.parquet"
        with LocalFile(self._path) as file:
            path = f"data/layers/{source}/{digest[:2]}/{name}"
            return StagedFile(staged=self._path, path=path, size=file.size, sha256=sha256(file))

    def _flush(self) -> None:
        if not self._rows:
            return
        ends = np.cumsum([0, *(len(row.weight) for row in self._rows)], dtype=np.int64)
        weight = pa.LargeListArray.from_arrays(pa.array(ends), pa.array(self._buffer[: ends[-1]]))
        others = [_without_weight(row) for row in self._rows]
        facts = pa.Table.from_pylist(others, schema=LAYERS.remove(LAYERS.get_field_index("weight")))
        columns = [facts[name].combine_chunks() if name != "weight" else weight for name in LAYERS.names]
        self._parquet.write_table(pa.Table.from_arrays(columns, schema=LAYERS), row_group_size=len(others))
        self._rows.clear()
        self._bytes = 0
        self._written += 1


def _without_weight(row: LayerRow) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name != "weight"}


def filename_slug(name: str) -> str:
    """Turn a name into 1 to 80 characters of `[a-z0-9.-]` that start with a letter or digit."""
    words = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip(".-")
    return words[:80].strip(".-") or "checkpoint"
