"""Layers that match a condition, as one Arrow table; only the row groups that hold them are opened."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from duckdb import ColumnExpression, Expression

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.dataset.schema.arrow import INDEX, LAYERS
from filtercrawl.load.location import DatasetLocation, open_location, open_parquet
from filtercrawl.load.query import group_by_row_group, select_layers
from filtercrawl.load.row_groups import read_layer_parts
from filtercrawl.load.tensors import to_tensors

# In the order of `index`; the weight, which it does not have, last. A layer that is read has its hashes.
_FIELDS: Final = {name: (LAYERS if name in LAYERS.names else INDEX).field(name) for name in (*INDEX.names, "weight")}


def load_layers(repo_or_path: str | Path, where: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the layers that match, a row a layer, in the order of `index`.

    repo_or_path: a folder, `org/name` or `org/name@revision`. where: a condition over the columns of `index`, as in
    DuckDB's
    SQL (`kernel = '3x3' and depthwise`); None for all. columns: of `layers` or `index`, to be given beside `shape` and
    `weight`; by default those of `layers`. `weight` is a large list of float32, `[out_channels, in_channels/groups,
    *kernel_size]` flat in row-major order; all weights lie in one buffer, in the order of the rows.

    A layer that is stored in parts is one row here, `part` 0 of 1. A layer of a duplicate checkpoint has its own
    names and facts, and the weight from where it is stored; of duplicates that match only one is given. Layers whose
    weight is not stored, pointwise ones for example, are left out.

    Memory: the result and one row group (at most 64 MiB). Of a Hub, `index` is fetched once and cached, of the files of
    layers only the row groups in question; a file that the cache of huggingface_hub holds is not asked for.

    Raises UsageError for a condition or a column that is not understood, DatasetError where the dataset is damaged,
    NetworkError where the Hub does not answer.
    """
    return _load_layers(repo_or_path, where, LAYERS.names if columns is None else columns)


def load_first_layers(repo_or_path: str | Path, where: str | None = None) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (recipe, weight) of each convolution that no other precedes, of the layers that match.

    recipe: as in `index`, the model_id where it is unknown. weight: float32 `[out_channels, in_channels/groups,
    *kernel_size]`, not to be written to. Networks whose order of layers is unknown release nothing. Raises as `layers`.
    """
    found = _load_layers(repo_or_path, where, ["recipe", "model_id"], ColumnExpression("is_first"))
    names = zip(found["recipe"].to_pylist(), found["model_id"].to_pylist(), strict=True)
    for (recipe, model_id), weight in zip(names, to_tensors(found), strict=True):
        yield recipe or model_id, weight


def _load_layers(repo_or_path: str | Path, where: str | None, columns: Sequence[str], *also: Expression) -> pa.Table:
    names = list(dict.fromkeys((*columns, "shape", "weight")))
    if unknown := [name for name in names if name not in _FIELDS]:
        raise UsageError(f"no column of layers or index: {', '.join(unknown)}; there are {', '.join(_FIELDS)}")
    dataset = open_location(repo_or_path)
    chosen = select_layers(dataset.index(), where, [name for name in names if name != "weight"], *also)
    # A row holds its whole layer, in however many rows it is stored.
    made = {"weight": _weights(dataset, chosen), "n_parts": pa.array(np.ones(chosen.num_rows, np.int32))}
    arrays = [made[name] if name in made else chosen[name] for name in names]
    return pa.Table.from_arrays(arrays, schema=pa.schema([_FIELDS[name] for name in names]))


def _weights(dataset: DatasetLocation, chosen: pa.Table) -> pa.Array[Any]:
    """Read the weights of the chosen layers, each straight to its place in one buffer."""
    sizes = [math.prod(shape) for shape in chosen["shape"].to_pylist()]
    if min(sizes, default=0) < 0:
        raise DatasetError(f"{dataset}: the index has a shape of {min(sizes)} numbers")
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    buffer = pa.allocate_buffer(4 * int(offsets[-1]))
    numbers = np.frombuffer(buffer, np.float32)
    for path, groups in group_by_row_group(chosen).items():
        with open_parquet(dataset, path) as file:
            for group, wanted in groups.items():
                for piece in read_layer_parts(file, group, wanted):
                    start = offsets[piece.layer.row] + piece.start * piece.layer.channel
                    numbers[start : start + len(piece.numbers)] = piece.numbers
    values = pa.Array.from_buffers(pa.float32(), len(numbers), [None, buffer])
    return pa.LargeListArray.from_arrays(pa.array(offsets), values)
