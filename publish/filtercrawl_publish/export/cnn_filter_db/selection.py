"""Which models of the dataset an export takes, and which of their layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.dataset.files.dataset_folder import DatasetFolder

_LAYER: Final = (
    "model_id", "layer_id", "tensor", "op", "kernel", "taps", "bank_index", "n_kernels", "conv_depth",
    "conv_depth_norm", "weight_kind", "file",
)  # fmt: skip
_MODEL: Final = (
    "model_id", "source", "name", "outcome", "url", "architecture", "task", "visual_category", "training_datasets",
    "paper", "run_final", "extra",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExportSelection:
    """What to take; () and None mean all. patterns: of names or ids of models, with `*` and `?`."""

    sources: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    limit: int | None = None

    def includes(self, model: Mapping[str, Any]) -> bool:
        """Tell whether a row of `models` is in the slice, the limit aside."""
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
    """A row of `models` and its layers. layers: rows of `index` whose kernels are taken, in the order of depth.

    counts: (height, width) -> kernels of that size in all 2-D convolutions of the model.
    """

    row: Mapping[str, Any]
    layers: tuple[Mapping[str, Any], ...]
    counts: Mapping[str, int]

    @property
    def kernels(self) -> int:
        return sum(layer["n_kernels"] for layer in self.layers)


def select_models(dataset: Path, wanted: ExportSelection) -> list[SelectedModel]:
    """Return what an export takes, in the order of the dataset; raises DatasetError, UsageError where it is nothing."""
    rows = [row for row in read(dataset, "models", _MODEL) if row["outcome"] == "emitted" and wanted.includes(row)]
    ids = {row["model_id"] for row in rows}
    layers: dict[str, list[dict[str, Any]]] = {}
    for layer in read(dataset, "index", _LAYER):
        if layer["model_id"] in ids and layer["op"] == "conv2d":
            layers.setdefault(layer["model_id"], []).append(layer)
    found = [taken for row in rows if (taken := model(row, layers.get(row["model_id"], []))).layers]
    if not found:
        raise UsageError(f"{dataset}: holds no learned 3x3 kernels of the models asked for")
    return found[: wanted.limit]


def model(row: Mapping[str, Any], layers: list[dict[str, Any]]) -> SelectedModel:
    counts: dict[str, int] = {}
    for layer in layers:
        counts[layer["kernel"]] = counts.get(layer["kernel"], 0) + layer["n_kernels"]
    taken = [
        layer
        for layer in layers
        if layer["kernel"] == "3x3" and layer["weight_kind"] == "learned" and layer["file"] is not None
    ]
    return SelectedModel(row=row, layers=tuple(sorted(taken, key=depth)), counts=counts)


def depth(layer: Mapping[str, Any]) -> float:
    """Order layers by depth, in the order of the checkpoint where that is unknown."""
    return -1 if layer["conv_depth"] is None else layer["conv_depth"]


def read(dataset: Path, table: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return rows of a published table; raises DatasetError where there is none."""
    folder = DatasetFolder(dataset)
    if not folder.table_paths(table):
        raise DatasetError(f"{dataset}: is no dataset, or holds nothing yet; run `filtercrawl sync` first")
    rows = folder.table(table, columns)
    if table == "index":  # others are of no use here, and may be millions
        rows = rows.filter(pc.equal(rows["op"], "conv2d"))
    found: list[dict[str, Any]] = rows.to_pylist()
    return found
