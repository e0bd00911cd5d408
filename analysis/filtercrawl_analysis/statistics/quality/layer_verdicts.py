"""The table of layers with their quality, what their sampled kernels tell, p-values and verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.statistics.components.coefficients import iter_sketches
from filtercrawl_analysis.statistics.groups.labels import group_labels
from filtercrawl_analysis.statistics.groups.resampling import adjust_p_values
from filtercrawl_analysis.statistics.quality.layer_tests import COLUMNS, layer_tests
from filtercrawl_analysis.statistics.quality.paper_thresholds import degenerate, randomness_threshold
from filtercrawl_analysis.statistics.quality.verdict_rules import layer_verdict
from filtercrawl_analysis.statistics.quality.weight_moments import weight_moments

Row = dict[str, Any]

# Columns copied from `index`.
_INDEX_COLUMNS: Final = (
    "layer_id", "model_id", "layer_sha256", "op", "kernel", "taps", "depthwise", "depth_decile", "n_kernels",
    "sparsity", "n_dead", "n_nonfinite", "variance_entropy", "variance_entropy_norm", "orthogonality", "norm_l1",
    "norm_l2", "norm_linf",
)  # fmt: skip
COMPUTED: Final = [
    pa.field("position", pa.string()),
    pa.field("randomness_threshold", pa.float64()),
    pa.field("degenerate", pa.bool_()),
    pa.field("kurtosis", pa.float64()),
    *COLUMNS[:-1],
    pa.field("q_structured", pa.float64()),
    COLUMNS[-1],
    pa.field("verdict", pa.string()),
]


# Two analyses of one run need the same table.
_TABLES: Final[WeakKeyDictionary[DatasetView, pa.Table]] = WeakKeyDictionary()


def layer_verdicts(dataset: DatasetView) -> pa.Table:
    """Return one row per layer of more than one tap: its quality, its p-values under randomness and its verdict.

    Columns, beside those of `index` and `KernelSampleStats`:
        `kurtosis`: Excess kurtosis of the weights.
        `null`, `p_structured`, `p_even`, `power`: See `StructureTest`.
        `q_structured`: The former, adjusted over all layers (Benjamini-Hochberg).
        `verdict`: See `verdict_rules`.

    No row depends on the others but for `q_structured`, and random numbers are seeded by a layer's content; what is
    costly is kept from one run to the next, see `layer_tests`.
    """
    if dataset not in _TABLES:
        _TABLES[dataset] = _judge_layers(dataset)
    return _TABLES[dataset]


def _judge_layers(dataset: DatasetView) -> pa.Table:
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    rows = index.select(_INDEX_COLUMNS).to_pylist()
    positions = group_labels(index, "position")
    sizes = index["kernel_size"].to_pylist()
    layers = []
    for row, position, size, sketch in zip(rows, positions, sizes, _sketch_rows(dataset, index), strict=True):
        kurtosis = _kurtosis(sketch)
        layers.append({**row, **sketch, "kernel_size": size, "kurtosis": kurtosis})
        row |= {
            "position": position,
            "randomness_threshold": randomness_threshold(sketch["n_finite"], row["taps"]),
            "degenerate": degenerate(row["variance_entropy"], row["sparsity"], sketch["n_finite"], row["taps"]),
            "kurtosis": kurtosis,
        }
    for row, tested in zip(rows, layer_tests(dataset, layers).to_pylist(), strict=True):
        row.update(tested)
    p_values = np.array([np.nan if row["p_structured"] is None else row["p_structured"] for row in rows], np.float64)
    for row, q in zip(rows, adjust_p_values(p_values).tolist(), strict=True):
        row["q_structured"] = q if math.isfinite(q) else None
        row["verdict"] = layer_verdict(row)
    return pa.Table.from_pylist(
        rows, schema=pa.schema([*(index.schema.field(name) for name in _INDEX_COLUMNS), *COMPUTED])
    )


def _sketch_rows(dataset: DatasetView, index: pa.Table) -> Iterator[Row]:
    for _, sketches in iter_sketches(dataset, index):
        yield from sketches.select(["n_finite", "power_sums", "max_abs"]).to_pylist()


def _kurtosis(sketch: Row) -> float | None:
    moments = weight_moments(sketch["power_sums"], sketch["max_abs"])
    return None if moments is None else moments.kurtosis
