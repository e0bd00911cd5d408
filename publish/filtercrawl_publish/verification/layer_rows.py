"""Read a layers file row by row, assemble its layers, and recompute every digest and shape."""

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
from filtercrawl_publish.verification.issues import CheckedFolder, Issue

Row = Mapping[str, Any]

# Bytes of weights that a row group may have, as promised to readers.
GROUP_BYTES = 67_108_864
# Columns that describe one part of a layer; all others are equal in the layer's row in `index`.
_PART_COLUMNS = frozenset({"row_id", "shape", "n_kernels", "part", "out_start", "weight_sha256", "weight"})
LAYER_COLUMNS = tuple(name for name in LAYERS.names if name not in _PART_COLUMNS)


@dataclass(kw_only=True)
class ScannedLayer:
    """A layer assembled from its rows.

    Attributes:
        row: The first row, without its weight.
        group: Row group of the first row.
        digest: SHA-256 of all its weights so far.
        channels: Output channels so far.
        kernels: Kernels so far.
        parts: Rows so far.
    """

    row: Row
    group: int
    digest: Any = field(default_factory=hashlib.sha256)
    channels: int = 0
    kernels: int = 0
    parts: int = 0


def scan_layers(folder: CheckedFolder, path: str) -> Iterator[ScannedLayer | Issue]:
    """Yield every layer of one file, checked, and what is wrong with its rows."""
    layer: ScannedLayer | None = None
    for item in _rows(folder, path):
        if isinstance(item, Issue):
            yield item
            continue
        group, row, weight = item
        if layer is not None and row["part"] == 0:
            yield from _check_layer(layer, path)
            layer = None
        layer = layer or ScannedLayer(row=row, group=group)
        for what in (*check_row(row, weight), *_check_order(layer, row)):
            yield Issue(where=f"{path}: {row['row_id']}", what=what)
        layer.digest.update(_bytes(weight))
        layer.channels += row["shape"][0] if row["shape"] else 0
        layer.kernels += row["n_kernels"]
        layer.parts += 1
    if layer is not None:
        yield from _check_layer(layer, path)


def _rows(folder: CheckedFolder, path: str) -> Iterator[tuple[int, Row, NDArray[np.float32]] | Issue]:
    """Yield row group, row and weight, float32 [n], of every row of a file, and what is wrong with its row groups."""
    previous_key: tuple[str, int] | None = None
    with folder.open(path) as file:
        for group in range(file.num_row_groups):
            where = f"{path}: row group {group}"
            if (problem := _check_group_size(file, group)) is not None:
                yield Issue(where=where, what=problem)
                continue
            table: Any = file.read_row_group(group)
            rows = table.drop_columns(["weight"]).to_pylist()
            weights = table["weight"].combine_chunks()
            del table
            keys = {_sort_key(row) for row in rows}
            for what in _check_group(keys, previous_key, len(rows), len(weights.values)):
                yield Issue(where=where, what=what)
            previous_key = max(keys)
            if weights.null_count or weights.values.null_count:
                yield Issue(where=where, what="has null weights")
                continue
            values, offsets = weights.values.to_numpy(), weights.offsets.to_numpy()
            for i, row in enumerate(rows):
                yield group, row, values[offsets[i] : offsets[i + 1]]


def _check_group(
    keys: set[tuple[str, int]], previous_key: tuple[str, int] | None, n_rows: int, n_weights: int
) -> Iterator[str]:
    """Check the sort order and the size of one row group."""
    if len(keys) > 1:
        yield "mixes rows with different (kernel, depthwise)"
    if previous_key is not None and min(keys) < previous_key:
        yield "is not sorted by (kernel, depthwise)"
    if n_rows > 1 and 4 * n_weights > GROUP_BYTES:
        yield f"has {4 * n_weights} bytes of weights, more than {GROUP_BYTES}"


def _check_order(layer: ScannedLayer, row: Row) -> Iterator[str]:
    """Check that a row continues the layer before it."""
    expected = (layer.row["layer_id"], layer.parts)
    if (row["layer_id"], row["part"]) != expected:
        yield f"is where part {expected[1]} of {expected[0]} is expected"
    if row["out_start"] != layer.channels:
        yield f"starts at output channel {row['out_start']}, not {layer.channels}"
    for name in LAYER_COLUMNS:
        if row[name] != layer.row[name]:
            yield f"{name} is {row[name]!r}, another part has {layer.row[name]!r}"


def check_row(row: Row, weight: NDArray[np.float32]) -> Iterator[str]:
    """Compare one row of `layers` with its own weight.

    Args:
        row: All columns but `weight`.
        weight: float32 [n].

    Yields:
        What is wrong.
    """
    shape, size = row["shape"], row["kernel_size"]
    if math.prod(shape) != len(weight):
        yield f"holds {len(weight)} weights, its shape {shape} has {math.prod(shape)}"
    if (digest := hashlib.sha256(_bytes(weight)).hexdigest()) != row["weight_sha256"]:
        yield f"weight_sha256 is {row['weight_sha256']}, that of its weights is {digest}"
    if len(weight) > ROW_NUMBERS and shape[:1] != [1]:
        yield f"holds more than {ROW_NUMBERS} weights and more than one output channel"
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
            yield f"{name} is {row[name]!r}, the rest of the row implies {value!r}"


def _check_layer(layer: ScannedLayer, path: str) -> Iterator[ScannedLayer | Issue]:
    """Check a layer that is complete, and yield it."""
    row, digest = layer.row, layer.digest.hexdigest()
    where = f"{path}: {row['layer_id']}"
    if row["layer_sha256"] != digest:
        yield Issue(where=where, what=f"layer_sha256 is {row['layer_sha256']}, that of its weights is {digest}")
    if (layer.parts, layer.channels) != (row["n_parts"], row["out_channels"]):
        actual, stated = (layer.parts, layer.channels), (row["n_parts"], row["out_channels"])
        what = f"has {actual} (parts, output channels), its row states {stated}"
        yield Issue(where=where, what=what)
    yield layer


def _check_group_size(file: pq.ParquetFile, group: int) -> str | None:
    """Return why a row group is not read: by its footer it needs more memory than allowed."""
    metadata = file.metadata.row_group(group)
    if metadata.num_rows == 0:
        return "has no rows"
    # The size includes levels and the other columns.
    if metadata.num_rows > 1 and metadata.total_byte_size > 2 * GROUP_BYTES:
        return f"claims {metadata.total_byte_size} bytes, more than {GROUP_BYTES} of weights"
    return None


def _sort_key(row: Row) -> tuple[str, int]:
    """Return the sort key of a row; an unknown `depthwise` is last."""
    return row["kernel"], {False: 0, True: 1, None: 2}[row["depthwise"]]


def _bytes(weight: NDArray[np.float32]) -> memoryview:
    return np.ascontiguousarray(weight, "<f4").data.cast("B") if len(weight) else memoryview(b"")
