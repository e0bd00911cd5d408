"""The verdict on a layer: dead, repeated, random or ok."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.numerics.dct_basis import MAX_TAPS
from filtercrawl_analysis.numerics.moments import Array, sketch_moments
from filtercrawl_analysis.statistics.coefficients import iter_sketches
from filtercrawl_analysis.statistics.entropy_null import EntropyNull
from filtercrawl_analysis.statistics.groups import group_labels
from filtercrawl_analysis.statistics.paper_thresholds import degenerate, randomness_threshold
from filtercrawl_analysis.statistics.resampling import adjust_p_values

Row = dict[str, Any]

# Share of dead kernels from which on a layer is dead.
DEAD: Final = 0.9
# A layer is repeated if this share of its energy lies in one kernel, or at most this share of its samples is distinct.
ONE_KERNEL: Final = 0.99
FEW_DISTINCT: Final = 0.25
# Live kernels among the samples that a distinct share needs.
MIN_SAMPLED: Final = 8
# Kernels are equal if they agree, scaled, to one part in so many.
RESOLUTION: Final = 256
LEVEL: Final = 0.05
# Kernels per tap that a verdict on randomness needs: with fewer, structure as strong as that of trained layers may go
# undetected.
MIN_KERNELS_PER_TAP: Final = 2

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
    pa.field("p_structured", pa.float64()),
    pa.field("p_even", pa.float64()),
    pa.field("q_structured", pa.float64()),
    pa.field("one_kernel_share", pa.float64()),
    pa.field("distinct_share", pa.float64()),
    pa.field("verdict", pa.string()),
]


def layer_verdicts(dataset: DatasetView) -> pa.Table:
    """Return one row per layer of more than one tap: its quality, its p-values under randomness and its verdict.

    Columns:
        `p_structured`, `p_even`: Shares of layers of random weights with at most, and at least, its variance entropy.
        `q_structured`: The former, adjusted over all layers (Benjamini-Hochberg).
        `one_kernel_share`: Largest share of the energy sum k k^T along one direction; null above 49 taps.
        `distinct_share`: Share of the live kernels among its samples that differ by more than scale and sign; null for
        fewer than eight.
        `verdict`: See `layer_verdict`.
    """
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    rows = index.select(_INDEX_COLUMNS).to_pylist()
    positions = group_labels(index, "position")
    n_finite, energy_share = _finite_and_energy_share(dataset, index)
    distinct_share = dict(_distinct_shares(dataset.samples(index["layer_sha256"].to_pylist())))
    null = EntropyNull(dataset.options.seed)
    for i, row in enumerate(rows):
        dataset.progress(i, len(rows), "entropy of random layers")
        n, taps, entropy = int(n_finite[i]), row["taps"], row["variance_entropy"]
        structured, even = null.p_values(entropy, n, taps)
        row |= {
            "position": positions[i],
            "randomness_threshold": randomness_threshold(n, taps),
            "degenerate": degenerate(entropy, row["sparsity"], n, taps),
            "p_structured": structured,
            "p_even": even,
            "one_kernel_share": _finite_or_none(energy_share[i]),
            "distinct_share": distinct_share.get(row["layer_sha256"]),
        }
    p_values = np.array([np.nan if row["p_structured"] is None else row["p_structured"] for row in rows], np.float64)
    for row, n, q in zip(rows, n_finite.tolist(), adjust_p_values(p_values).tolist(), strict=True):
        row["q_structured"] = _finite_or_none(q)
        row["verdict"] = layer_verdict(row, n)
    dataset.progress(len(rows), len(rows), "entropy of random layers")
    return pa.Table.from_pylist(
        rows, schema=pa.schema([*(index.schema.field(name) for name in _INDEX_COLUMNS), *COMPUTED])
    )


def layer_verdict(row: Row, n_finite: int) -> str | None:
    """Return the first of these verdicts that applies.

    - `dead`: at least 90 % of the kernels are dead, or all weights are zero.
    - `repeated`: 99 % of the energy is that of one kernel and its multiples, or at most a quarter of the sampled live
      kernels differ by more than scale and sign.
    - `random`: layers of random weights have such an entropy (q_structured > 0.05), and there are at least two kernels
      per tap.
    - `ok`: none of these. None: the entropy is unknown, or there are too few kernels per tap.

    Args:
        row: A row of `layer_verdicts`.
        n_finite: Kernels without NaN and infinities.
    """
    if row["norm_linf"] == 0 or (row["sparsity"] is not None and row["sparsity"] >= DEAD):
        return "dead"
    one, distinct = row["one_kernel_share"], row["distinct_share"]
    if n_finite > 1 and (
        (one is not None and one >= ONE_KERNEL) or (distinct is not None and distinct <= FEW_DISTINCT)
    ):
        return "repeated"
    if row["q_structured"] is None or n_finite < MIN_KERNELS_PER_TAP * row["taps"]:
        return None
    return "random" if row["q_structured"] > LEVEL else "ok"


def _finite_and_energy_share(dataset: DatasetView, index: pa.Table) -> tuple[NDArray[np.int64], Array]:
    """Return the number of finite kernels of each layer, and the largest share of its energy along one direction."""
    n_finite, energy_share = np.zeros(len(index), np.int64), np.full(len(index), np.nan)
    taps, sizes = np.array(index["taps"].to_pylist(), np.int64), np.array(index["kernel"].to_pylist())
    for batch, sketches in iter_sketches(dataset, index):
        n_finite[batch] = sketches["n_finite"].to_numpy()
        for size in np.unique(sizes[batch]):
            rows = np.flatnonzero(sizes[batch] == size)
            if taps[batch][rows[0]] <= MAX_TAPS:
                second_moments = sketch_moments(sketches.take(pa.array(rows)), "raw").second_moment()
                eigenvalues = np.linalg.eigvalsh(second_moments)
                total = np.trace(second_moments, axis1=1, axis2=2)
                with np.errstate(invalid="ignore", divide="ignore"):
                    energy_share[batch.start + rows] = np.where(total > 0, eigenvalues[:, -1] / total, np.nan)
    return n_finite, energy_share


def _distinct_shares(samples: Iterable[tuple[str, NDArray[np.float32]]]) -> Iterable[tuple[str, float]]:
    for digest, kernels in samples:
        peaks = np.abs(kernels).max(1)
        live = np.isfinite(peaks) & (peaks > 0) & (peaks >= np.nanmax(np.where(np.isfinite(peaks), peaks, 0)) / 100)
        if live.sum() >= MIN_SAMPLED:
            shapes = kernels[live].astype(np.float64)
            largest = np.take_along_axis(shapes, np.abs(shapes).argmax(1)[:, None], 1)
            yield digest, len(np.unique(np.round(shapes / largest * RESOLUTION), axis=0)) / int(live.sum())


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
