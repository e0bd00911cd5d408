"""Whether a subset that is read by its folder is one of the dataset, and each of its layers still stored as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.subset_folders import read_about
from filtercrawl.load.location import DatasetLocation, read_dataset_id

_COLUMNS: Final = ("layer_id", "layer_sha256", "row_id", "file", "row_group")


def check_references(location: DatasetLocation, folder: Path, layers: pa.Table) -> None:
    """Compare a subset with the dataset that its weights are to be read from.

    Args:
        location: The dataset.
        folder: The folder of the subset.
        layers: Rows of the subset.

    Raises:
        UsageError: It is a subset of another dataset, or a layer is not stored as it was.
        DatasetError: The dataset or the subset cannot be read.
        NetworkError: The Hub does not answer.
    """
    location.index()
    own, other = read_about(folder).get("dataset_id"), read_dataset_id(location)
    if None not in (own, other) and own != other:
        raise UsageError(f"{folder}: is a subset of the dataset {own}, and {location} is the dataset {other}")
    layer_ids, row_ids = _references(DatasetFolder(location.root, str(location)).table("index", _COLUMNS))
    for layer in layers.select(_COLUMNS).to_pylist():
        as_it_was = (layer["layer_id"], layer["layer_sha256"]) in layer_ids and _place(layer) in row_ids
        if not as_it_was:
            raise UsageError(f"{folder}: {location} has {layer['layer_id']} not as it was; make the subset again")


def _references(index: pa.Table) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    """Return which layers `index` has, and where it says that weights are stored."""
    rows = index.to_pylist()
    return {(row["layer_id"], row["layer_sha256"]) for row in rows}, set(map(_place, rows))


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["row_id"], row["layer_sha256"], row["file"], row["row_group"]
