"""Which layers of a dataset enter the analyses, and why the others do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.vocabulary import TRAINED


@dataclass(frozen=True, kw_only=True)
class LayerSelection:
    """The selected layers, and counts of the others by the first reason that applies.

    Attributes:
        rows: Their rows in `index`, sorted by `model_id` and `layer_id`.
        total: Layers in `index`.
        models: Models that have a layer in `index`.
        unread: Layers whose weights were not read.
        not_learned: Layers of fixed or generated weights.
        not_final: Layers of checkpoints from within a training run.
        repeated: Layers with the same weights as a selected one.
    """

    rows: pa.Array
    total: int
    models: int
    unread: int
    not_learned: int
    not_final: int
    repeated: int

    def counts(self) -> dict[str, int]:
        """Return all counts by name, for results.json."""
        names = ("total", "models", "unread", "not_learned", "not_final", "repeated")
        return {name: getattr(self, name) for name in names}


def select_layers(index: pa.Table) -> LayerSelection:
    """Select the layers that analyses see; the result does not depend on the order of the rows.

    These are learned (`weight_kind` is learned or standardized), were read (`layer_sha256` is known) and belong to a
    final checkpoint (`run_final` is not false). Of equal tensors it is the one whose weight is stored, else the one
    that is no duplicate of another layer.

    Args:
        index: All rows of `index`.
    """
    read = _mask(pc.is_valid(index["layer_sha256"]))
    learned = _mask(pc.is_in(index["weight_kind"], pa.array(TRAINED)))
    final = _mask(pc.fill_null(index["run_final"], True))
    candidates = np.flatnonzero(read & learned & final)
    names = ("layer_sha256", "row_group", "duplicate_of", "model_id", "layer_id")
    values = index.select(names).take(pa.array(candidates)).to_pylist()
    ranked = sorted(
        zip(values, candidates.tolist(), strict=True),
        key=lambda item: (
            item[0]["row_group"] is None,
            item[0]["duplicate_of"] is not None,
            item[0]["model_id"],
            item[0]["layer_id"],
        ),
    )
    first = {row["layer_sha256"]: (row["model_id"], row["layer_id"], position) for row, position in reversed(ranked)}
    rows = [position for _, _, position in sorted(first.values())]
    return LayerSelection(
        rows=pa.array(rows, pa.int64()),
        total=len(index),
        models=pc.count_distinct(index["model_id"]).as_py(),
        unread=int((~read).sum()),
        not_learned=int((read & ~learned).sum()),
        not_final=int((read & learned & ~final).sum()),
        repeated=len(candidates) - len(rows),
    )


def _mask(values: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    mask: np.ndarray[tuple[int], np.dtype[np.bool_]] = values.to_numpy().astype(np.bool_)
    return mask
