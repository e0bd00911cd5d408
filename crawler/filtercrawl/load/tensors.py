"""Torch tensors that share the memory of an Arrow table: nothing is copied, and they must not be written to."""

from __future__ import annotations

import math
from typing import Any, Final

import pyarrow as pa
import torch
from torch.utils.dlpack import from_dlpack

from filtercrawl.api.errors import DatasetError, UsageError

# Columns by which a layer that is stored in parts is joined; a table without them has whole layers.
_PARTS: Final = frozenset({"layer_id", "part", "n_parts"})


def to_flat_tensor(column: pa.ChunkedArray[Any] | pa.Array[Any]) -> torch.Tensor:
    """Return the numbers of a column, row after row, as one flat tensor of the column's dtype.

    A column in one chunk, as in a table of `load_layers`, is not copied: the tensor shares its memory and must not be
    written to. Several chunks are copied into one tensor.

    Args:
        column: A column of numbers or of lists of numbers.

    Raises:
        UsageError: The column holds nulls, or anything but numbers.

    Example:
        >>> table = filtercrawl.load_layers("org/kernels", "kernel = '3x3'")
        >>> kernels = filtercrawl.to_flat_tensor(table["weight"]).view(-1, 3, 3)
    """
    pieces = [_numbers(chunk) for chunk in (column.chunks if isinstance(column, pa.ChunkedArray) else [column])]
    if len(pieces) == 1:
        return pieces[0]
    return torch.cat(pieces) if pieces else from_dlpack(pa.array([], _leaf(column.type)))


def to_tensors(table: pa.Table) -> list[torch.Tensor]:
    """Return one tensor per layer, without copies.

    The tensors share the table's memory and must not be written to. In a table that does not come from `load_layers`
    and holds all parts of a layer, the parts are joined into one tensor in place of the first, which copies them.

    Args:
        table: A table with the columns `shape` and `weight`.

    Returns:
        float32 tensors `[out_channels, in_channels/groups, *kernel_size]`.

    Raises:
        UsageError: A column is missing, or `weight` holds nulls.
        DatasetError: A weight does not have the size of its shape.

    Example:
        >>> table = filtercrawl.load_layers("org/kernels", "model_id = 'timm/resnet18.a1_in1k'", ["layer"])
        >>> weights = dict(zip(table["layer"].to_pylist(), filtercrawl.to_tensors(table), strict=True))
    """
    for name in ("shape", "weight"):
        if name not in table.column_names:
            raise UsageError(f"tensors are made of the columns shape and weight; the table has no {name}")
    found: list[torch.Tensor] = []
    shapes = table["shape"].to_pylist()
    for chunk in table["weight"].chunks:
        numbers, lengths = _numbers(chunk), chunk.value_lengths().to_pylist()
        if lengths != [math.prod(shape) for shape in shapes[len(found) : len(found) + len(chunk)]]:
            raise DatasetError("a weight does not have the size that its shape says")
        for piece in torch.split(numbers, lengths):
            found.append(piece.view(shapes[len(found)]))
    return _joined(table, found) if set(table.column_names) >= _PARTS else found


def _joined(table: pa.Table, rows: list[torch.Tensor]) -> list[torch.Tensor]:
    ids, numbers, counts = (table[name].to_pylist() for name in ("layer_id", "part", "n_parts"))
    parts: dict[str, dict[int, int]] = {}
    for row, (layer_id, number, count) in enumerate(zip(ids, numbers, counts, strict=True)):
        if count > 1:
            parts.setdefault(layer_id, {})[number] = row
    out: dict[int, torch.Tensor] = dict(enumerate(rows))
    for places in parts.values():
        order = [places[number] for number in sorted(places)]
        if sorted(places) == list(range(counts[order[0]])):
            whole = torch.cat([rows[row] for row in order])
            for row in order:
                del out[row]
            out[min(order)] = whole
    return [out[row] for row in sorted(out)]


def _numbers(chunk: pa.Array[Any]) -> torch.Tensor:
    kind = chunk.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    leaf = _leaf(kind)
    if not (pa.types.is_floating(leaf) or pa.types.is_integer(leaf)) or chunk.null_count:
        raise UsageError(f"a tensor is made of numbers, or of lists of numbers, without nulls; not of {kind}")
    values = chunk.flatten() if listed else chunk
    if values.null_count:
        raise UsageError("a tensor is made of numbers without nulls")
    return from_dlpack(values)


def _leaf(kind: pa.DataType) -> pa.DataType:
    return getattr(kind, "value_type", kind)
