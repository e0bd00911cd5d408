"""The table of layers with their quality, what their sampled kernels tell, p-values and verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.components.coefficients import iter_sketches
from filtercrawl_analysis.statistics.entropy.null import EntropyNull
from filtercrawl_analysis.statistics.entropy.structure_test import LayerToTest, StructureTests
from filtercrawl_analysis.statistics.groups.labels import group_labels
from filtercrawl_analysis.statistics.groups.resampling import adjust_p_values
from filtercrawl_analysis.statistics.quality.kernel_sample import kernel_sample_stats
from filtercrawl_analysis.statistics.quality.outlier_bounds import LayerTotals
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
_SAMPLED: Final = (
    "dead_share", "dead_low", "dead_high", "outlier_share_low", "outlier_kernels", "distinct_share",
    "one_kernel_share", "near_copy_share", "near_copy_null",
)  # fmt: skip
COMPUTED: Final = [
    pa.field("position", pa.string()),
    pa.field("randomness_threshold", pa.float64()),
    pa.field("degenerate", pa.bool_()),
    pa.field("kurtosis", pa.float64()),
    *(pa.field(name, pa.int64() if name == "outlier_kernels" else pa.float64()) for name in _SAMPLED),
    pa.field("null", pa.string()),
    pa.field("p_structured", pa.float64()),
    pa.field("p_even", pa.float64()),
    pa.field("q_structured", pa.float64()),
    pa.field("power", pa.float64()),
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

    No row depends on the others but for `q_structured`, and random numbers are seeded by a layer's content.
    """
    if dataset not in _TABLES:
        _TABLES[dataset] = _judge_layers(dataset)
    return _TABLES[dataset]


def _judge_layers(dataset: DatasetView) -> pa.Table:
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    rows = index.select(_INDEX_COLUMNS).to_pylist()
    positions = group_labels(index, "position")
    samples = dict(dataset.samples(index["layer_sha256"].to_pylist()))
    null = EntropyNull(dataset.options.seed)
    tests = StructureTests(null, dataset.options.seed)
    for i, (row, sketch) in enumerate(zip(rows, _sketch_rows(dataset, index), strict=True)):
        dataset.progress(i, len(rows), "layers against random weights")
        n, kurtosis = sketch["n_finite"], _kurtosis(sketch)
        row |= {
            "position": positions[i],
            "randomness_threshold": randomness_threshold(n, row["taps"]),
            "degenerate": degenerate(row["variance_entropy"], row["sparsity"], n, row["taps"]),
            "kurtosis": kurtosis,
        }
        kernels, seed = _finite(samples.get(row["layer_sha256"])), [null.seed, int(row["layer_sha256"][:15], 16)]
        row.update(_of_kernels(kernels, row, sketch, seed))
        layer = LayerToTest(
            kernels=kernels,
            n_kernels=n,
            kernel_size=index["kernel_size"][i].as_py(),
            entropy=row["variance_entropy"],
            kurtosis=kurtosis,
        )
        row.update(asdict(tests.test(layer, seed)))
    p_values = np.array([np.nan if row["p_structured"] is None else row["p_structured"] for row in rows], np.float64)
    for row, q in zip(rows, adjust_p_values(p_values).tolist(), strict=True):
        row["q_structured"] = q if math.isfinite(q) else None
        row["verdict"] = layer_verdict(row)
    dataset.progress(len(rows), len(rows), "layers against random weights")
    return pa.Table.from_pylist(
        rows, schema=pa.schema([*(index.schema.field(name) for name in _INDEX_COLUMNS), *COMPUTED])
    )


def _sketch_rows(dataset: DatasetView, index: pa.Table) -> Iterator[Row]:
    for _, sketches in iter_sketches(dataset, index):
        yield from sketches.select(["n_finite", "power_sums", "max_abs"]).to_pylist()


def _kurtosis(sketch: Row) -> float | None:
    moments = weight_moments(sketch["power_sums"], sketch["max_abs"])
    return None if moments is None else moments.kurtosis


def _finite(kernels: NDArray[np.float32] | None) -> Array | None:
    if kernels is None:
        return None
    finite = kernels[np.isfinite(kernels).all(1)].astype(np.float64)
    return finite if len(finite) else None


def _of_kernels(kernels: Array | None, row: Row, sketch: Row, seed: Sequence[int]) -> Row:
    """Return the columns that sampled kernels tell."""
    _, _, energy, _, fourth_powers = sketch["power_sums"]
    if kernels is None or not energy > 0:
        return dict.fromkeys(_SAMPLED)
    totals = LayerTotals(
        n_kernels=sketch["n_finite"],
        n_low=row["n_dead"],
        energy=energy,
        fourth_powers=fourth_powers,
        max_abs=sketch["max_abs"],
    )
    return asdict(kernel_sample_stats(kernels, totals, seed))
