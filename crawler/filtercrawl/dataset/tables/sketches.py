"""Sketches of layers: their form in the catalog, and their record batches."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.parquet import BATCH_ROWS, ContentDefinedBoundary, Row
from filtercrawl.dataset.schema.arrow import SKETCHES

# Numbers in a batch, at most: as Python objects they take ten times their bytes.
_BATCH_NUMBERS: Final = 500_000
# Row groups of some hundred kilobytes.
_CUT: Final = ContentDefinedBoundary(key="layer_sha256", one_in=100)
_LISTS: Final = tuple(field.name for field in SKETCHES if pa.types.is_list(field.type))


def to_bytes(sketch: Row) -> bytes:
    """Return a row of SKETCHES as compressed JSON; every number comes back as it was."""
    row = {name: sketch.get(name) for name in SKETCHES.names}
    return zlib.compress(json.dumps(row).encode(), 1)


def from_bytes(data: bytes) -> dict[str, Any]:
    """Undo `to_bytes`.

    Raises:
        DatasetError: The data is damaged.
    """
    try:
        row: dict[str, Any] = json.loads(zlib.decompress(data))
    except (zlib.error, ValueError) as error:
        raise DatasetError(
            f"stored sketches are damaged ({error}); run `filtercrawl sync SELECTOR --rebuild`"
        ) from error
    return row


def sketch_batches(rows: Iterable[Row]) -> Iterator[pa.RecordBatch]:
    """Turn rows of SKETCHES into batches of bounded memory, whatever the number of taps."""
    group: list[Row] = []
    numbers = 0
    for row in rows:
        group.append(row)
        numbers += sum(len(row[name] or ()) for name in _LISTS)
        if len(group) >= BATCH_ROWS or numbers >= _BATCH_NUMBERS or _CUT.is_boundary(str(row["layer_sha256"])):
            yield pa.RecordBatch.from_pylist(group, schema=SKETCHES)
            group, numbers = [], 0
    if group:
        yield pa.RecordBatch.from_pylist(group, schema=SKETCHES)
