"""Whether a subset that is read by its folder is one of the dataset, and each of its layers still stored as it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.subset_folders import read_about
from filtercrawl.load.location import DatasetLocation, read_dataset_id

# What tells the content of a layer, and where it is stored.
_LAYER: Final = ("layer_id", "layer_sha256")
_PLACE: Final = ("row_id", "layer_sha256", "file", "row_group")


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
    index = DatasetFolder(location.root, str(location)).table("index", list(dict.fromkeys((*_LAYER, *_PLACE))))
    for names in (_LAYER, _PLACE):
        changed = _absent(layers, index, names)
        if len(changed):
            first = pc.min(changed).as_py()
            raise UsageError(f"{folder}: {location} has {first} not as it was; make the subset again")


def _absent(layers: pa.Table, index: pa.Table, names: Sequence[str]) -> pa.ChunkedArray[Any]:
    """Return the ids of layers for which no row of `index` has the same values in these columns."""
    own = layers.select(list(dict.fromkeys(("layer_id", *names))))
    return own.join(index.select(list(names)), list(names), join_type="left anti", use_threads=False)["layer_id"]
