"""Every layer of a dataset by its id, with what a recipe decides by; no weight is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.load.configs import table_files
from filtercrawl.load.location import DatasetLocation, read_dataset_id
from filtercrawl.load.query import LayerRequest
from filtercrawl.load.whole_layers import RowGroupRequests
from filtercrawl.subsets.condition import Condition
from filtercrawl.subsets.recipe import Recipe

# Columns of `index` that every recipe needs.
_COLUMNS: Final = (
    "layer_id", "row_id", "model_id", "layer_sha256", "file", "row_group", "n_parts", "shape", "kernel", "kernel_size",
    "n_kernels", "weight_kind", "run_final", "run_id", "redistributable", "license", "family", "norm_linf",
    "n_nonfinite",
)  # fmt: skip
_MATCHES: Final = "matches_"
_DIGEST_ROWS: Final = 8192


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """The layers of a dataset.

    Attributes:
        location: The dataset.
        dataset_id: Its id; None where no manifest states one.
        layers: Columns of `index`, by layer id.
        matches: Whether the condition of the recipe holds, by layer [layers].
        owners: Row of the layer that stores the weight, -1 where none does [layers].
        unknown: Columns that the recipe asks for and that are null in all rows; those of `models` as `models.NAME`.
    """

    location: DatasetLocation
    dataset_id: str | None
    layers: pa.Table
    matches: NDArray[np.bool_]
    owners: NDArray[np.int64]
    unknown: tuple[str, ...] = ()

    @classmethod
    def load(cls, location: DatasetLocation, recipe: Recipe) -> Self:
        """Read `index`, and `models` where the condition asks for it.

        Raises:
            UsageError: The condition is not understood.
            DatasetError: The dataset is damaged.
            NetworkError: The Hub does not answer.
        """
        location.index()
        condition = Condition.parse(recipe.where) if recipe.where.strip() else None
        asked = (*recipe.layers.range, *(condition.index_columns if condition else ()))
        layers = DatasetFolder(location.root, str(location)).table("index", list(dict.fromkeys((*_COLUMNS, *asked))))
        # Sorted first: nothing depends on the order of files and rows.
        layers = layers.sort_by("layer_id")
        ids = layers["layer_id"].to_pylist()
        if twice := [name for name, after in pairwise(ids) if name == after]:
            raise DatasetError(f"{location}: index has the layer {twice[0]} twice")
        matches = np.ones(len(layers), np.bool_)
        unknown = _unknown(layers, (*asked, *(["redistributable"] if recipe.layers.redistributable else [])))
        if condition is not None:
            models = read_models(location, list(dict.fromkeys(("model_id", *condition.model_columns))))
            matches = np.array(condition.evaluate(layers, models), np.bool_)
            unknown += [f"models.{name}" for name in _unknown(models, condition.model_columns)]
        kept = [name for name in layers.column_names if name in (*_COLUMNS, *recipe.layers.range)]
        return cls(
            location=location,
            dataset_id=read_dataset_id(location),
            layers=layers.select(kept),
            matches=matches,
            owners=_owners(layers),
            unknown=tuple(unknown),
        )

    def values(self, column: str) -> list[Any]:
        """Return a column of `index` by layer."""
        found: list[Any] = self.layers[column].to_pylist()
        return found

    def requests(self, rows: Iterable[int]) -> RowGroupRequests:
        """Return the layers to read, by the file and row group in which their weights begin, in order."""
        names = ("file", "row_group", "layer_id", "shape", "n_parts")
        files, groups, ids, shapes, parts = (self.values(name) for name in names)
        found: dict[str, dict[int, list[LayerRequest]]] = {}
        for file, group, row in sorted((files[self.owners[row]], groups[self.owners[row]], row) for row in rows):
            owner = self.owners[row]
            request = LayerRequest(row=row, layer_id=ids[owner], shape=tuple(shapes[row]), n_parts=parts[owner])
            found.setdefault(file, {}).setdefault(group, []).append(request)
        return found

    def sha256(self, kin: Iterable[str]) -> str:
        """Return the SHA-256 of all that a recipe decides by, besides the weights that `layer_sha256` stands for.

        Args:
            kin: The group of kin of each layer's model.
        """
        digest = hashlib.sha256()
        rows = (row for batch in self.layers.to_batches(max_chunksize=_DIGEST_ROWS) for row in batch.to_pylist())
        for row, matches, group in zip(rows, self.matches.tolist(), kin, strict=True):
            facts = row | {_MATCHES: matches, "kin_": group}
            digest.update(json.dumps(facts, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()


def read_models(location: DatasetLocation, columns: list[str]) -> pa.Table:
    """Read columns of `models`.

    Raises:
        DatasetError: The dataset is damaged.
        NetworkError: The Hub does not answer.
    """
    for path in table_files(location, "models"):
        location.file(path)
    return DatasetFolder(location.root, str(location)).table("models", columns)


def _unknown(table: pa.Table, columns: Iterable[str]) -> list[str]:
    """Return the columns that are null in all rows."""
    return sorted({name for name in columns if table[name].null_count == len(table)})


def _owners(layers: pa.Table) -> NDArray[np.int64]:
    """Return for each layer the row that stores its weight: its own, else one of the same bytes, in the named file."""
    names = ("layer_sha256", "file", "row_group")
    hashes, files, groups = (layers[name].to_pylist() for name in names)
    in_file: dict[tuple[str, str], int] = {}
    anywhere: dict[str, int] = {}
    for row, (content, file, group) in enumerate(zip(hashes, files, groups, strict=True)):
        if content is not None and file is not None and group is not None:
            in_file.setdefault((content, file), row)
            anywhere.setdefault(content, row)
    owners = np.full(len(layers), -1, np.int64)
    for row, (content, file, group) in enumerate(zip(hashes, files, groups, strict=True)):
        if content is not None:
            stored = file is not None and group is not None
            owners[row] = row if stored else in_file.get((content, file), anywhere.get(content, -1))
    return owners
