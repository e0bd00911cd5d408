"""Effective weights of layers, computed from the stored ones of a dataset folder in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.dataset.schema.arrow import EFFECTIVE
from filtercrawl.dataset.tables.effective import recipe_of, rows_of
from filtercrawl.extraction.effective import LayerKey, Recipe, effective_weight
from filtercrawl_analysis.data.layer_lookup import LayerRowLookup
from filtercrawl_analysis.data.stored_layers import StoredLayers

# model_id, effective_sha256 and recipe.
Row = tuple[str, str, Recipe]


@dataclass(frozen=True, kw_only=True)
class EffectiveLayer:
    """An effective weight.

    Attributes:
        digest: Its effective_sha256.
        stored: layer_sha256 of its main stored layer.
        weight: float32 `[out, in/groups, *kernel_size]`.
    """

    digest: str
    stored: str
    weight: NDArray[np.float32]


def effective_weights(stored: StoredLayers, digests: Sequence[str]) -> Iterator[EffectiveLayer]:
    """Yield the effective weights of layers, each once, in the order of the files.

    Memory: two layers, a row group of `effective`, and the branches of one checkpoint.

    Args:
        stored: The stored layers.
        digests: The effective_sha256 of each.

    Raises:
        DatasetError: A row or a stored weight is missing.
    """
    if not digests:
        return
    lookup = LayerRowLookup(files_of(stored.folder, "effective"), EFFECTIVE, key="effective_sha256")
    missing = set(digests)
    for table in lookup.tables(digests):
        chosen = [row for row in _distinct(table) if row[1] in missing]
        missing.difference_update(digest for _, digest, _ in chosen)
        yield from _of_single_layers(stored, [row for row in chosen if len(row[2].terms) == 1])
        yield from _of_branches(stored, [row for row in chosen if len(row[2].terms) > 1])
    if missing:
        raise DatasetError(f"{stored.folder}: `effective` has no row {min(missing)[:16]}...; run `filtercrawl sync`")


def _distinct(table: pa.Table) -> list[Row]:
    """Return model_id, effective_sha256 and recipe of each row; of rows with the same weight the first."""
    found: dict[str, Row] = {}
    for row in rows_of(table):
        digest = row["effective_sha256"]
        found.setdefault(digest, (row["model_id"], digest, recipe_of(row)))
    return list(found.values())


def _of_single_layers(stored: StoredLayers, rows: Sequence[Row]) -> Iterator[EffectiveLayer]:
    """Yield the weights that follow from one stored layer each, as these are read."""
    by_layer: dict[str, list[Row]] = {}
    for row in rows:
        by_layer.setdefault(row[2].layer.tensor, []).append(row)
    for name, weight in _whole_layers(stored, list(by_layer)):
        for _, digest, recipe in by_layer[name]:
            yield _computed(digest, recipe, {LayerKey(name): weight})


def _of_branches(stored: StoredLayers, rows: Sequence[Row]) -> Iterator[EffectiveLayer]:
    """Yield the weights that follow from several stored layers, a checkpoint at a time."""
    for _, of_model in groupby(rows, key=lambda row: row[0]):
        recipes = {digest: recipe for _, digest, recipe in of_model}
        names = {term.layer.tensor for recipe in recipes.values() for term in recipe.terms}
        weights = {LayerKey(name): weight for name, weight in _whole_layers(stored, sorted(names))}
        for digest, recipe in recipes.items():
            yield _computed(digest, recipe, weights)


def _computed(digest: str, recipe: Recipe, weights: Mapping[LayerKey, NDArray[np.float32]]) -> EffectiveLayer:
    return EffectiveLayer(digest=digest, stored=recipe.layer.tensor, weight=effective_weight(recipe, weights))


def _whole_layers(stored: StoredLayers, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield layer_sha256 and stored weight, `[out, in/groups, *kernel_size]`, of each layer."""
    index = stored.index
    wanted = index.filter(pc.is_in(index["layer_sha256"], value_set=pa.array(layers, pa.string())))
    shapes = dict(zip(wanted["layer_sha256"].to_pylist(), wanted["shape"].to_pylist(), strict=True))
    for digest, parts in groupby(stored.kernels(layers), key=lambda part: part[0]):
        yield digest, _joined(part for _, part in parts).reshape(shapes[digest])


def _joined(parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(list(parts))
