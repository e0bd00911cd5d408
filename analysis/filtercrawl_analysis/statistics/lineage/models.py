"""The checkpoints of a dataset whose lineage is asked for: their layers, and parts of their weights."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView
from filtercrawl.api.vocabulary import TRAINED
from filtercrawl_analysis.statistics.lineage.layer_pair import Weights
from filtercrawl_analysis.statistics.lineage.relation import MIN_WEIGHTS

# Filters and inputs of a layer that are compared. As many of both, so that a part of a square layer is square.
PART: Final = 96
# Models whose parts are kept in memory: at most 0.3 MB a 3x3 layer.
_MAX_MODELS: Final = 256
_COLUMNS: Final = ("model_id", "tensor", "bank_index", "shape", "layer_sha256", "norm_l1", "norm_l2", "stored_dtype")


@dataclass(frozen=True, kw_only=True)
class ModelLayer:
    """One layer of a checkpoint.

    Attributes:
        tensor: Name of the tensor, with `@index` for one kernel set of a bank.
        shape: `[out, in/groups, *kernel_size]`.
        sha256: The layer_sha256.
        norms: L1 and L2 norm of the weights; None if unknown.
    """

    tensor: str
    shape: tuple[int, ...]
    sha256: str
    norms: tuple[float, float] | None

    @property
    def size(self) -> int:
        """Number of weights."""
        return int(np.prod(self.shape))


def lineage_models(dataset: DatasetView) -> dict[str, tuple[ModelLayer, ...]]:
    """Return the learned layers of each final checkpoint that is no duplicate as a whole, by model_id.

    Layers of fewer than 32 weights are left out, and checkpoints without others.
    """
    rows = dataset.all_layers
    whole = dataset.models.filter(pc.is_null(dataset.models["duplicate_of"]))["model_id"]
    mask = pc.and_(pc.is_in(rows["weight_kind"], pa.array(TRAINED)), pc.fill_null(rows["run_final"], True))
    mask = pc.and_(mask, pc.is_in(rows["model_id"], value_set=whole.combine_chunks()))
    found: dict[str, list[ModelLayer]] = defaultdict(list)
    for row in rows.filter(mask).select(_COLUMNS).to_pylist():
        norms = None if row["norm_l1"] is None else (row["norm_l1"], row["norm_l2"])
        bank = "" if row["bank_index"] is None else f"@{row['bank_index']}"
        layer = ModelLayer(
            tensor=row["tensor"] + bank, shape=tuple(row["shape"]), sha256=row["layer_sha256"], norms=norms
        )
        if layer.size >= MIN_WEIGHTS:
            found[row["model_id"]].append(layer)
    return {name: tuple(layers) for name, layers in sorted(found.items())}


class LayerParts:
    """Parts of layers: the first 96 filters and inputs; those of the last 256 models are kept."""

    def __init__(self, dataset: DatasetView) -> None:
        self._dataset = dataset
        self._by_model: OrderedDict[str, dict[str, Weights]] = OrderedDict()

    def get(self, model_id: str, layers: Iterable[ModelLayer]) -> Mapping[str, Weights]:
        """Return the parts of some layers of a model, by layer_sha256: float32 `[<=96, <=96, *kernel_size]`."""
        held = self._by_model.setdefault(model_id, {})
        self._by_model.move_to_end(model_id)
        missing = {layer.sha256: layer for layer in layers if layer.sha256 not in held}
        held.update(read_parts(self._dataset, list(missing.values())))
        while len(self._by_model) > _MAX_MODELS:
            self._by_model.popitem(last=False)
        return held


def read_parts(dataset: DatasetView, layers: Sequence[ModelLayer], part: int = PART) -> dict[str, Weights]:
    """Read the first filters and inputs of layers, at most `part` of each, by layer_sha256."""
    shapes = {layer.sha256: layer.shape for layer in layers}
    read: dict[str, int] = defaultdict(int)
    rows: dict[str, list[Weights]] = defaultdict(list)
    for digest, kernels in dataset.kernels(list(shapes)) if shapes else ():
        shape = shapes[digest]
        place = np.arange(read[digest], read[digest] + len(kernels))
        kept = (place // shape[1] < part) & (place % shape[1] < part)
        rows[digest].append(kernels[kept])
        read[digest] += len(kernels)
    return {
        digest: np.concatenate(rows[digest]).reshape(min(shape[0], part), min(shape[1], part), *shape[2:])
        for digest, shape in shapes.items()
    }
