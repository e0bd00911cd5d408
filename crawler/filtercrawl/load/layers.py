"""Load the layers that match a condition as one Arrow table; only row groups that hold them are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from duckdb import ColumnExpression, Expression

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import unknown_column
from filtercrawl.api.view import View
from filtercrawl.dataset.schema.arrow import INDEX, LAYERS
from filtercrawl.load.effective import to_effective, with_known_weight
from filtercrawl.load.location import DatasetLocation, open_location
from filtercrawl.load.query import EFFECTIVE_WEIGHT, STORED_WEIGHT, select_layers
from filtercrawl.load.views import EFFECTIVE, RAW, find_views, transformed
from filtercrawl.load.weights import read_weights

if TYPE_CHECKING:
    import torch

# In the order of `index`, with the weight last; types of `layers` first, where hashes are not null.
_FIELDS: Final = {name: (LAYERS if name in LAYERS.names else INDEX).field(name) for name in (*INDEX.names, "weight")}


def load_layers(
    repo_or_path: str | Path,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    view: str | Sequence[str] = RAW.name,
    revision: str | None = None,
) -> pa.Table:
    """Load the layers that match a condition, one row per layer, in the order of `index`.

    Memory: the result and one row group (at most 64 MiB). From the Hub, `index` is downloaded once and cached; of the
    layers files only the matching row groups are fetched, or none if the cache of huggingface_hub holds the file.

    Args:
        repo_or_path: A folder, `org/name` or `org/name@revision`.
        where: A condition over the columns of `index` in the SQL of DuckDB, for example
            `kernel = '3x3' and depthwise`; None for all layers.
        columns: Columns of `layers` or `index`; `shape` and `weight` are added. By default those of `layers`.
        view: The name of a view, or of several that are combined: a selection of layers, or another form of their
            weights. By default `raw`, the weights as they are stored. `effective`: see below. Plugins may add views.
        revision: A branch, tag or commit of a repository; by default `main`.

    Returns:
        `weight` is a large list of float32, flat in row-major order of `[out_channels, in_channels/groups,
        *kernel_size]`; all weights are in one buffer, in the order of the rows. `to_tensors` makes tensors of it.

        A layer that is stored in parts is one row, with `part` 0 of 1. A layer of a duplicate checkpoint has its own
        names and metadata, and the weight of where it is stored; of duplicates that match, one is returned. Layers
        whose weight is not stored, for example pointwise ones, are left out.

        With the view `effective`, `weight` is the one that the network convolves with: normalized, standardized, with
        its branches merged and the batch normalization that follows folded in, computed in float64 and rounded once.
        `effective_steps` says which of these, and `eps_assumed` whether an epsilon was not stated and taken as 1e-5.
        Both are null for a layer of which nothing is known to be applied: it keeps the stored weight. Layers that are
        standardized by a formula that is not known (`weight_kind` is `standardized`) are left out, and a warning with
        their number is logged. Of merged branches one row is returned, that of the main layer. Hashes and statistics
        are those of the stored weight.

    Raises:
        UsageError: The condition, a column, a view or the dataset is not understood.
        DatasetError: The dataset is damaged.
        NetworkError: The Hub does not answer, or has no such repository or revision.

    Example:
        >>> table = filtercrawl.load_layers("org/kernels", "kernel = '7x7' and depthwise", ["layer"])
        >>> table["layer"].to_pylist(), filtercrawl.to_tensors(table)
    """
    location = open_location(repo_or_path, revision)
    return load_located_layers(location, where, LAYERS.names if columns is None else columns, view=view)


def load_located_layers(
    location: DatasetLocation,
    where: str | None,
    columns: Sequence[str],
    *conditions: Expression,
    view: str | Sequence[str] = RAW.name,
) -> pa.Table:
    """Load layers of an open dataset; arguments and errors as for `load_layers`, `conditions` hold besides `where`."""
    views = find_views(view)
    needed = [name for known in views for name in known.columns]
    chosen = [*conditions, *_conditions(views)]
    table = _load_layers(location, where, [*columns, *needed], chosen, is_effective=EFFECTIVE in views)
    for known in views:
        table = transformed(table, known)
    asked = {*columns, "shape", "weight"}
    return table.drop_columns([name for name in dict.fromkeys(needed) if name not in asked])


def select_located_layers(
    location: DatasetLocation, where: str | None, columns: Sequence[str], *, view: str | Sequence[str] = RAW.name
) -> pa.Table:
    """Return columns of `index` of the layers that `load_located_layers` loads; no weight is read."""
    views = find_views(view)
    needed = [name for known in views for name in known.columns]
    return _select(location, where, [*columns, *needed], _conditions(views), is_effective=EFFECTIVE in views)


def load_first_layers(
    repo_or_path: str | Path, where: str | None = None, *, revision: str | None = None
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the first convolutions of networks: those that no other convolution precedes.

    Networks whose order of layers is unknown yield nothing.

    Args:
        repo_or_path: A folder, `org/name` or `org/name@revision`.
        where: A condition as for `load_layers`; None for all.
        revision: A branch, tag or commit of a repository; by default `main`.

    Yields:
        The recipe as in `index`, or the model id if it is unknown; and the weight, float32 `[out_channels,
        in_channels/groups, *kernel_size]`, which must not be written to.

    Raises:
        UsageError: The condition or the dataset is not understood.
        DatasetError: The dataset is damaged.
        NetworkError: The Hub does not answer, or has no such repository or revision.

    Example:
        >>> for recipe, weight in filtercrawl.load_first_layers("org/kernels", "family = 'resnet'"):
        ...     print(recipe, tuple(weight.shape))
    """
    from filtercrawl.load.tensors import to_tensors  # imports torch

    location = open_location(repo_or_path, revision)
    table = _load_layers(location, where, ["recipe", "model_id"], [ColumnExpression("is_first")])
    names = zip(table["recipe"].to_pylist(), table["model_id"].to_pylist(), strict=True)
    for (recipe, model_id), weight in zip(names, to_tensors(table), strict=True):
        yield recipe or model_id, weight


def _load_layers(
    location: DatasetLocation,
    where: str | None,
    columns: Sequence[str],
    conditions: Sequence[str | Expression],
    *,
    is_effective: bool = False,
) -> pa.Table:
    names = list(dict.fromkeys((*columns, "shape", "weight")))
    if unknown := [name for name in names if name not in _FIELDS]:
        raise UsageError(f"no column of layers or index is named {unknown_column(unknown[0], _FIELDS)}")
    read = [name for name in names if name != "weight"]
    selected = _select(location, where, read, conditions, is_effective=is_effective)
    weights = read_weights(location, selected)
    added = to_effective(location, selected, weights) if is_effective else None
    # A row holds its whole layer, in however many rows that is stored.
    replaced = {"weight": weights.to_arrow(), "n_parts": pa.array(np.ones(selected.num_rows, np.int32))}
    arrays = [replaced[name] if name in replaced else selected[name] for name in names]
    table = pa.Table.from_arrays(arrays, schema=pa.schema([_FIELDS[name] for name in names]))
    if added is None:
        return table
    for field in added.schema:
        if field.name not in table.column_names:  # `effective_steps` is a column of `index` too
            table = table.append_column(field, added[field.name])
    return table


def _conditions(views: Sequence[View]) -> list[str | Expression]:
    """Return the conditions of views, all of which must hold."""
    return [view.where for view in views if view.where is not None]


def _select(
    location: DatasetLocation,
    where: str | None,
    columns: Sequence[str],
    conditions: Sequence[str | Expression],
    *,
    is_effective: bool,
) -> pa.Table:
    same = EFFECTIVE_WEIGHT if is_effective else STORED_WEIGHT
    selected = select_layers(location.index(), where, columns, *conditions, same=same)
    return with_known_weight(selected) if is_effective else selected
