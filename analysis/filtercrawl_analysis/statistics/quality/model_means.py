"""Sparsity and variance entropy of models: means over their layers of one kernel size."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

MODEL_MEANS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("model_id", "family", "kernel")),
        *(pa.field(name, pa.int64()) for name in ("layers", "kernels")),
        *(pa.field(name, pa.float64()) for name in ("sparsity", "variance_entropy")),
    ]
)


def model_means(layers: pa.Table) -> pa.Table:
    """Return the mean over layers of sparsity and variance entropy of each model, in alphabetical order.

    Layers in which one of them is unknown are left out, and models without any other.

    Args:
        layers: Rows of the index, all of one kernel size.

    Returns:
        Rows of `MODEL_MEANS`.
    """
    known = layers.filter(pc.and_(pc.is_valid(layers["sparsity"]), pc.is_valid(layers["variance_entropy"])))
    # In the order of the rows: of sums by several threads, the last digit would depend on who comes first.
    means = known.group_by(["model_id", "family", "kernel"], use_threads=False).aggregate(
        [("n_kernels", "count"), ("n_kernels", "sum"), ("sparsity", "mean"), ("variance_entropy", "mean")]
    )
    names = [
        "model_id",
        "family",
        "kernel",
        "n_kernels_count",
        "n_kernels_sum",
        "sparsity_mean",
        "variance_entropy_mean",
    ]
    return means.select(names).rename_columns(MODEL_MEANS.names).sort_by("model_id").cast(MODEL_MEANS)
