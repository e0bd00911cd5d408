"""Select models and layers for an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.dataset.files.dataset_folder import DatasetFolder

_LAYER_COLUMNS: Final = (
    "model_id", "layer_id", "tensor", "op", "kernel", "taps", "bank_index", "n_kernels", "conv_depth",
    "conv_depth_norm", "weight_kind", "layer_sha256", "file",
)  # fmt: skip
_MODEL_COLUMNS: Final = (
    "model_id", "source", "name", "outcome", "url", "architecture", "task", "visual_category", "training_datasets",
    "paper", "run_final", "extra",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExportSelection:
    """Which models to export; () and None mean all.

    Attributes:
        sources: Names of sources.
        tasks: Tasks as in `models`.
        patterns: Patterns with `*` and `?` for ids or names of models.
        limit: Maximum number of models.
    """

    sources: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    limit: int | None = None

    def includes(self, model: Mapping[str, Any]) -> bool:
        """Return whether a row of `models` is selected, ignoring the limit."""
        return (
            model["run_final"] is not False
            and (not self.sources or model["source"] in self.sources)
            and (not self.tasks or model["task"] in self.tasks)
            and (
                not self.patterns
                or any(fnmatchcase(model[key], pattern) for key in ("model_id", "name") for pattern in self.patterns)
            )
        )


@dataclass(frozen=True, kw_only=True)
class SelectedModel:
    """A model to export.

    Attributes:
        row: Of `models`.
        layers: Rows of `index` whose kernels are exported, sorted by depth.
        counts: Number of kernels by kernel size, in all 2-D convolutions of the model.
    """

    row: Mapping[str, Any]
    layers: tuple[Mapping[str, Any], ...]
    counts: Mapping[str, int]

    @property
    def kernels(self) -> int:
        """Number of exported kernels."""
        return sum(layer["n_kernels"] for layer in self.layers)


def select_models(dataset: Path, selection: ExportSelection) -> list[SelectedModel]:
    """Return the selected models in the order of the dataset.

    Raises:
        UsageError: No model is selected, or none has learned 3x3 kernels.
        DatasetError: The dataset cannot be read.
    """
    rows = [
        row
        for row in read_table(dataset, "models", _MODEL_COLUMNS)
        if row["outcome"] == "emitted" and selection.includes(row)
    ]
    ids = {row["model_id"] for row in rows}
    layers: dict[str, list[dict[str, Any]]] = {}
    for layer in read_table(dataset, "index", _LAYER_COLUMNS):
        if layer["model_id"] in ids and layer["op"] == "conv2d":
            layers.setdefault(layer["model_id"], []).append(layer)
    models = [model for row in rows if (model := select_layers(row, layers.get(row["model_id"], []))).layers]
    if not models:
        raise UsageError(f"{dataset}: has no learned 3x3 kernels of the selected models")
    return models[: selection.limit]


def select_layers(row: Mapping[str, Any], layers: list[dict[str, Any]]) -> SelectedModel:
    """Return a model with those of its 2-D convolutions that are exported: learned 3x3 kernels that a file has."""
    counts: dict[str, int] = {}
    for layer in layers:
        counts[layer["kernel"]] = counts.get(layer["kernel"], 0) + layer["n_kernels"]
    exported = [
        layer
        for layer in layers
        if layer["kernel"] == "3x3" and layer["weight_kind"] == "learned" and layer["file"] is not None
    ]
    return SelectedModel(row=row, layers=tuple(sorted(exported, key=_depth)), counts=counts)


def _depth(layer: Mapping[str, Any]) -> float:
    """Sort key; layers of unknown depth come first, in the order of the checkpoint."""
    return -1 if layer["conv_depth"] is None else layer["conv_depth"]


def read_table(dataset: Path, table: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the rows of a table.

    Raises:
        DatasetError: It is missing or cannot be read.
    """
    folder = DatasetFolder(dataset)
    if not folder.table_paths(table):
        folder.require()
        raise DatasetError(f"{dataset}: has no layers yet; run `filtercrawl sync` first")
    content = folder.table(table, columns)
    if table == "index":  # there may be millions of other layers
        content = content.filter(pc.equal(content["op"], "conv2d"))
    rows: list[dict[str, Any]] = content.to_pylist()
    return rows
