"""Write rows to Parquet files: with their full schema, in bounded memory, the same bytes for the same rows."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.atomic import replace_if_changed, temporary

Row = Mapping[str, Any]

# A batch is a row group: large enough to compress, small enough to hold as Python dictionaries.
BATCH_ROWS: Final = 10_000

# Columns whose values hardly repeat: a dictionary would only be thrown away again.
_DISTINCT: Final = frozenset({"layer_id", "row_id", "kernel_id", "weight_sha256", "sha256", "path", "tensor"})


@dataclass(frozen=True, kw_only=True)
class File:
    """A published file.

    Attributes:
        path: POSIX path relative to the dataset.
        size: Length in bytes.
        sha256: SHA-256 in lower-case hexadecimal.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Table(File):
    """A Parquet file in the dataset.

    Attributes:
        rows: Number of rows.
        changed: Whether this write changed the file.
    """

    rows: int
    changed: bool


@dataclass(frozen=True, kw_only=True)
class ContentDefinedBoundary:
    """Ends row groups where the content of a row says so.

    A row that is added or removed then changes its own row group only, and a Hub that has the bytes of the others is
    not sent them again.

    Attributes:
        key: The column whose hash decides.
        one_in: A row group ends after one in this many rows, on average.
    """

    key: str
    one_in: int

    def is_boundary(self, key: str) -> bool:
        """Tell whether a row group ends with the row that has this value in the column."""
        return zlib.crc32(key.encode()) % self.one_in == 0


def record_batches(
    rows: Iterable[Row], schema: pa.Schema, size: int = BATCH_ROWS, cut: ContentDefinedBoundary | None = None
) -> Iterator[pa.RecordBatch]:
    """Turn rows into record batches of `size` rows, or fewer by `cut`; a column that a row leaves out is null."""
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == size or (cut is not None and cut.is_boundary(str(row[cut.key]))):
            batch = pa.RecordBatch.from_pylist(group, schema=schema)
            group = []  # before the batch is used: one batch of dictionaries at a time
            yield batch
    if group:
        yield pa.RecordBatch.from_pylist(group, schema=schema)


def write_table(folder: Path, path: str, schema: pa.Schema, content: Iterable[pa.RecordBatch]) -> Table | None:
    """Write record batches atomically, one row group each.

    No file has zero rows: without rows nothing is written, and an old file stays, which the card may still list.

    Args:
        folder: The dataset folder.
        path: Path of the file, relative to the folder.
        schema: The schema of the table.
        content: The rows.

    Returns:
        The file; None if there is no row.

    Raises:
        DatasetError: The disk refuses, or a row does not fit the schema.
    """
    target = folder / path
    with temporary(target, folder) as scratch:
        table = encode_table(scratch, path, schema, content)
        return table and replace(table, changed=replace_if_changed(scratch, target))


def encode_table(scratch: Path, path: str, schema: pa.Schema, content: Iterable[pa.RecordBatch]) -> Table | None:
    """Write record batches to `scratch`, for what is to be at `path`; the arguments and errors of `write_table`.

    Returns:
        The file, as if it were changed; None if there is no row.
    """
    count = 0
    writer: pq.ParquetWriter | None = None
    try:
        for batch in content:
            if batch.num_rows:
                writer = writer or pq.ParquetWriter(scratch, schema, **_options(schema))
                writer.write_batch(batch, row_group_size=batch.num_rows)
                count += batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
        raise DatasetError(f"{path}: a row does not fit its columns ({error})") from error
    finally:
        if writer:
            writer.close()
    if writer is None:
        return None
    with scratch.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Table(path=path, rows=count, size=scratch.stat().st_size, sha256=digest, changed=True)


def _options(schema: pa.Schema) -> dict[str, Any]:
    """Return the options of the Parquet writer; content-defined pages let the Hub store only what is new in a table."""
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    floats = [leaf for leaf, kind in leaves if pa.types.is_float32(kind)]
    words = [leaf for leaf, kind in leaves if _repeats(leaf, kind)]
    return {
        "compression": "zstd",
        "use_dictionary": words,
        "use_byte_stream_split": floats,
        "write_page_index": True,
        "use_content_defined_chunking": True,
    }


def _leaves(name: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """Yield the columns of a Parquet file that a column of Arrow becomes, with their types."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _leaves(f"{name}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{name}.{field.name}", field.type)
    else:
        yield name, kind


def _repeats(leaf: str, kind: pa.DataType) -> bool:
    is_distinct = leaf.rpartition(".")[2] in _DISTINCT
    return not (is_distinct or pa.types.is_floating(kind) or pa.types.is_binary(kind))
