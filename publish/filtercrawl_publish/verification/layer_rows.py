"""Read a file of layers row by row and put the layers together, every hash and shape computed anew."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from filtercrawl.dataset.schema.arrow import LAYERS, ROW_NUMBERS
from filtercrawl_publish.verification.issues import DatasetFolder, Issue

Row = Mapping[str, Any]

# What readers are promised of a row group, in bytes of weights.
GROUP_BYTES = 67_108_864
# What a row says of its own part only; everything else it shares with the layer's row in `index`.
_OF_PART = frozenset({"row_id", "shape", "n_kernels", "part", "out_start", "weight_sha256", "weight"})
SHARED = tuple(name for name in LAYERS.names if name not in _OF_PART)


@dataclass(kw_only=True)
class ScannedLayer:
    """A layer put together from its rows. row: the first; group: where that lies; digest: of all numbers."""

    row: Row
    group: int
    digest: Any = field(default_factory=hashlib.sha256)
    channels: int = 0
    kernels: int = 0
    parts: int = 0


def scan_layers(folder: DatasetFolder, path: str) -> Iterator[ScannedLayer | Issue]:
    """Yield every layer of one file, put together and checked, and what is wrong with its rows."""
    whole: ScannedLayer | None = None
    for item in _rows(folder, path):
        if isinstance(item, Issue):
            yield item
            continue
        group, row, numbers = item
        if whole is not None and row["part"] == 0:
            yield from _finished(whole, path)
            whole = None
        whole = whole or ScannedLayer(row=row, group=group)
        for what in (*check_row(row, numbers), *_follows(whole, row)):
            yield Issue(where=f"{path}: {row['row_id']}", what=what)
        whole.digest.update(_bytes(numbers))
        whole.channels += row["shape"][0] if row["shape"] else 0
        whole.kernels += row["n_kernels"]
        whole.parts += 1
    if whole is not None:
        yield from _finished(whole, path)


def _rows(folder: DatasetFolder, path: str) -> Iterator[tuple[int, Row, NDArray[np.float32]] | Issue]:
    """Yield row group, row and weight of every row of a file, and what is wrong with its row groups."""
    before: tuple[str, int] | None = None
    with folder.open(path) as file:
        for group in range(file.num_row_groups):
            place = f"{path}: row group {group}"
            if (refused := _unreadable(file, group)) is not None:
                yield Issue(where=place, what=refused)
                continue
            table: Any = file.read_row_group(group)
            rows = table.drop_columns(["weight"]).to_pylist()
            weights = table["weight"].combine_chunks()
            del table
            keys = {_key(row) for row in rows}
            for what in _misplaced(keys, before, len(rows), len(weights.values)):
                yield Issue(where=place, what=what)
            before = max(keys)
            if weights.null_count or weights.values.null_count:
                yield Issue(where=place, what="has weights that are null")
                continue
            numbers, ends = weights.values.to_numpy(), weights.offsets.to_numpy()
            for i, row in enumerate(rows):
                yield group, row, numbers[ends[i] : ends[i + 1]]


def _misplaced(keys: set[tuple[str, int]], before: tuple[str, int] | None, n: int, numbers: int) -> Iterator[str]:
    if len(keys) > 1:
        yield "mixes rows of several (kernel, depthwise)"
    if before is not None and min(keys) < before:
        yield "is not sorted by (kernel, depthwise)"
    if n > 1 and 4 * numbers > GROUP_BYTES:
        yield f"has {4 * numbers} bytes of weights, more than {GROUP_BYTES}"


def _follows(whole: ScannedLayer, row: Row) -> Iterator[str]:
    """Say how a row does not continue the layer it comes in."""
    expected = (whole.row["layer_id"], whole.parts)
    if (row["layer_id"], row["part"]) != expected:
        yield f"stands where part {expected[1]} of {expected[0]} belongs"
    if row["out_start"] != whole.channels:
        yield f"starts at output channel {row['out_start']}, not {whole.channels}"
    for name in SHARED:
        if row[name] != whole.row[name]:
            yield f"{name} is {row[name]!r}, another part says {whole.row[name]!r}"


def check_row(row: Row, numbers: NDArray[np.float32]) -> Iterator[str]:
    """Say what of one row of `layers` its own weight, float32 [n], contradicts."""
    shape, size = row["shape"], row["kernel_size"]
    if math.prod(shape) != len(numbers):
        yield f"holds {len(numbers)} numbers, its shape {shape} has {math.prod(shape)}"
    if (found := hashlib.sha256(_bytes(numbers)).hexdigest()) != row["weight_sha256"]:
        yield f"weight_sha256 is {row['weight_sha256']}, that of its numbers is {found}"
    if len(numbers) > ROW_NUMBERS and shape[:1] != [1]:
        yield f"holds more than {ROW_NUMBERS} numbers and more than one output channel"
    taps = math.prod(size)
    derived = {
        "layer_id": f"{row['model_id']}#{row['tensor']}"
        + ("" if row["bank_index"] is None else f"@{row['bank_index']}"),
        "row_id": f"{row['layer_id']}#part{row['part']}",
        "kernel": "x".join(map(str, size)),
        "kernel_size": shape[2:],
        "taps": taps,
        "n_kernels": math.prod(shape[:2]),
    }
    for name, value in derived.items():
        if row[name] != value:
            yield f"{name} is {row[name]!r}, the rest of the row says {value!r}"


def _finished(whole: ScannedLayer, path: str) -> Iterator[ScannedLayer | Issue]:
    row, found = whole.row, whole.digest.hexdigest()
    where = f"{path}: {row['layer_id']}"
    if row["layer_sha256"] != found:
        yield Issue(where=where, what=f"layer_sha256 is {row['layer_sha256']}, that of its numbers is {found}")
    if (whole.parts, whole.channels) != (row["n_parts"], row["out_channels"]):
        done, promised = (whole.parts, whole.channels), (row["n_parts"], row["out_channels"])
        what = f"has {done} (parts, output channels), its row says {promised}"
        yield Issue(where=where, what=what)
    yield whole


def _unreadable(file: pq.ParquetFile, group: int) -> str | None:
    """Say why a row group is not even read: its footer claims more than several rows may have."""
    about = file.metadata.row_group(group)
    if about.num_rows == 0:
        return "has no rows"
    # Levels and the other columns come on top of the weights.
    if about.num_rows > 1 and about.total_byte_size > 2 * GROUP_BYTES:
        return f"claims {about.total_byte_size} bytes, more than {GROUP_BYTES} of weights"
    return None


def _key(row: Row) -> tuple[str, int]:
    """The order of rows: unknown comes after shared and depthwise kernels."""
    return row["kernel"], {False: 0, True: 1, None: 2}[row["depthwise"]]


def _bytes(numbers: NDArray[np.float32]) -> memoryview:
    return np.ascontiguousarray(numbers, "<f4").data.cast("B") if len(numbers) else memoryview(b"")
