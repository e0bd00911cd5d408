"""Effective weights of selected layers: those that the network convolves with."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from duckdb import ColumnExpression, ConstantExpression
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.schema.arrow import EFFECTIVE
from filtercrawl.dataset.tables.effective import has_unknown_weight, recipe_of, rows_of, unknown_weights_text
from filtercrawl.extraction.effective import LayerKey, effective_weight
from filtercrawl.load.configs import table_files
from filtercrawl.load.location import DatasetLocation, reading
from filtercrawl.load.query import select_layers
from filtercrawl.load.weights import LayerWeights, read_weights

logger = logging.getLogger(__name__)

# Columns of `index` that the view needs, besides those of every load.
COLUMNS: Final = ("layer_id", "model_id", "layer_sha256", "effective_sha256", "merged_into", "weight_kind")
ADDED: Final = pa.schema([pa.field("effective_steps", pa.list_(pa.string())), pa.field("eps_assumed", pa.bool_())])


def with_known_weight(selected: pa.Table) -> pa.Table:
    """Leave out the layers that are standardized by a formula that is not known, and log how many there are.

    Args:
        selected: Rows of `index`, with the columns COLUMNS.
    """
    unknown = has_unknown_weight(selected)
    if count := pc.sum(unknown).as_py() or 0:
        logger.warning(unknown_weights_text(count))
    return selected.filter(pc.invert(unknown)) if count else selected


def to_effective(location: DatasetLocation, selected: pa.Table, weights: LayerWeights) -> pa.Table:
    """Replace stored weights by effective ones, in place, in float64 rounded once.

    Memory: a row group of `effective`, and the branches that are merged into its layers.

    Args:
        location: The dataset.
        selected: Rows of `index`, with the columns COLUMNS.
        weights: Their stored weights.

    Returns:
        The columns ADDED, null for layers without a row in `effective`.

    Raises:
        DatasetError: The dataset is damaged.
        NetworkError: The Hub does not answer.
    """
    known = selected["effective_sha256"].to_pylist()
    names, models = selected["layer_id"].to_pylist(), selected["model_id"].to_pylist()
    places = {name: row for row, name in enumerate(names) if known[row] is not None}
    steps: list[list[str] | None] = [None] * len(names)
    assumed: list[bool | None] = [None] * len(names)
    for rows in _effective_rows(location, places, {models[row] for row in places.values()}):
        recipes = {row["layer_id"]: recipe_of(row) for row in rows}
        branches = {term.layer.tensor for recipe in recipes.values() for term in recipe.terms[1:]}
        stored = _stored_weights(location, branches)
        for name, recipe in recipes.items():
            row = places.pop(name)
            weight = weights[row]
            raw = {**stored, recipe.terms[0].layer: weight}
            if recipe.shape != weight.shape:
                raise DatasetError(f"{location}: the effective weight of {name} has another shape than the stored one")
            try:
                weight[...] = effective_weight(recipe, raw)
            except (KeyError, ValueError) as error:
                raise DatasetError(
                    f"{location}: the effective weight of {name} cannot be computed ({error})"
                ) from error
            steps[row], assumed[row] = list(recipe.steps), recipe.eps_assumed
    if places:
        raise DatasetError(f"{location}: `effective` has no row of {next(iter(places))}")
    return pa.Table.from_arrays([pa.array(steps, ADDED.field(0).type), pa.array(assumed, pa.bool_())], schema=ADDED)


def _effective_rows(
    location: DatasetLocation, names: Mapping[str, int], models: Iterable[str]
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of `effective` of some layers, a row group at a time; others are not read."""
    if not names:
        return
    wanted, ordered = pa.array(list(names), pa.string()), sorted(models)
    for path in table_files(location, "effective"):
        with _open(location, path) as file:
            for group in range(file.num_row_groups):
                if not _may_hold(file.metadata.row_group(group), ordered):
                    continue
                rows = file.read_row_group(group, columns=EFFECTIVE.names)
                rows = rows.filter(pc.is_in(rows["layer_id"], value_set=wanted))
                if rows.num_rows:
                    yield list(rows_of(rows))


def _may_hold(group: pq.RowGroupMetaData, models: list[str]) -> bool:
    """Tell whether a row group may have rows of one of these checkpoints, by its statistics."""
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema == "model_id" and column.statistics is not None and column.statistics.has_min_max:
            return any(column.statistics.min <= model <= column.statistics.max for model in models)
    return True


@contextmanager
def _open(location: DatasetLocation, path: str) -> Iterator[pq.ParquetFile]:
    with reading(location, path), pq.ParquetFile(location.source(path), pre_buffer=True) as file:
        yield file


def _stored_weights(location: DatasetLocation, digests: Iterable[str]) -> dict[LayerKey, NDArray[np.float32]]:
    """Read stored weights by their layer_sha256."""
    some = sorted(digests)
    if not some:
        return {}
    chosen = ColumnExpression("layer_sha256").isin(*map(ConstantExpression, some))
    selected = select_layers(location.index(), None, ["layer_sha256"], chosen)
    weights = read_weights(location, selected)
    return {LayerKey(digest): weights[row] for row, digest in enumerate(selected["layer_sha256"].to_pylist())}
