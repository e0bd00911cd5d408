"""A checkpoint to compare: its layers in order, each read when it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike, fspath, path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import unknown_name
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings
from filtercrawl.load import to_tensors
from filtercrawl.load.dataset import Dataset, open_dataset
from filtercrawl.pipeline.checkpoint_layers import CheckpointLayer, open_checkpoint_layers
from filtercrawl.python_api.inspect import selector_of

_COLUMNS = (
    "model_id",
    "layer_id",
    "tensor",
    "bank_index",
    "shape",
    "groups",
    "stored_dtype",
    "layer_sha256",
    "conv_depth",
)


@dataclass(frozen=True, kw_only=True)
class ComparedCheckpoint:
    """A checkpoint whose layers can be read.

    Attributes:
        name: What the user called it.
        layers: Its layers, by depth where it is known, else in the order of the file.
    """

    name: str
    layers: tuple[CheckpointLayer, ...]


@contextmanager
def open_checkpoint(
    what: str | PathLike[str], dataset: str | PathLike[str] | None, plugins: Plugins, settings: Settings
) -> Iterator[ComparedCheckpoint]:
    """Open a checkpoint: a model of the dataset, if one is given and has a model of this id, else a file or a selector.

    Raises:
        UsageError: Nothing, or more than one checkpoint, has this name.
        CheckpointError: The file cannot be read.
        DatasetError: There is no dataset, or it cannot be read.
        NetworkError: A server does not answer.
    """
    text = fspath(what)
    opened = None if dataset is None else open_dataset(fspath(dataset))
    found = None if opened is None else _model(text, opened)
    if found is not None:
        yield found
        return
    if opened is not None and not path.isfile(text) and text.partition(":")[0] not in plugins.sources:  # noqa: PTH113
        known = opened.models(["model_id"])["model_id"].to_pylist()
        raise UsageError(f"{opened}: has no layers of a model {unknown_name(text, known)}")
    selector = selector_of(what, plugins)
    with open_checkpoint_layers(selector, plugins, replace(settings, kernel_size="all")) as layers:
        yield ComparedCheckpoint(name=text, layers=layers)


def _model(model_id: str, dataset: Dataset) -> ComparedCheckpoint | None:
    """Return a model of a dataset; None if no layer of it was read."""
    index = dataset.index(_COLUMNS)
    rows = index.filter(pc.and_(pc.equal(index["model_id"], model_id), pc.is_valid(index["layer_sha256"]))).to_pylist()
    if not rows:
        return None
    if all(row["conv_depth"] is not None for row in rows):
        rows.sort(key=lambda row: row["conv_depth"])
    layers = (
        CheckpointLayer(
            tensor=row["tensor"] + ("" if row["bank_index"] is None else f"@{row['bank_index']}"),
            shape=tuple(row["shape"]),
            groups=row["groups"],
            dtype=row["stored_dtype"],
            read=partial(_read, dataset, row["layer_id"]),
        )
        for row in rows
    )
    return ComparedCheckpoint(name=model_id, layers=tuple(layers))


def _read(dataset: Dataset, layer_id: str) -> NDArray[np.float32]:
    quoted = layer_id.replace("'", "''")
    table = dataset.layers(f"layer_id = '{quoted}'", ["layer_id"])
    weight: NDArray[np.float32] = to_tensors(table)[0].numpy()
    return weight
