"""What is wrong with a layer: dead, repeated, random, or nothing."""

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
from filtercrawl_analysis.statistics.bootstrap import adjust_p_values
from filtercrawl_analysis.statistics.coefficients import iter_sketches
from filtercrawl_analysis.statistics.entropy_null import EntropyNull
from filtercrawl_analysis.statistics.groups import group_labels
from filtercrawl_analysis.statistics.paper_thresholds import degenerate, randomness_threshold

Row = dict[str, Any]

# A layer is dead where so many of its kernels are.
DEAD: Final = 0.9
# It repeats itself where so much of its energy lies in one kernel, or so few of its sampled kernels differ.
ONE_KERNEL: Final = 0.99
FEW_DISTINCT: Final = 0.25
# Of fewer live kernels among the samples nothing is said.
SAMPLED: Final = 8
# Kernels are the same where they agree, scaled, to one part in so many.
GRAIN: Final = 256
LEVEL: Final = 0.05
# Of fewer kernels a tap, structure as strong as trained layers have may pass for chance.
KERNELS_A_TAP: Final = 2

# Taken from `index` as they are.
_GIVEN: Final = (
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
    """Return a row a layer of more than one tap: its quality, how likely chance is to make it, and a verdict.

    p_structured, p_even: shares of layers of random numbers with at most, and with at least, its variance entropy;
    q_structured: the former after Benjamini-Hochberg over all layers. one_kernel_share: largest share of the energy
    sum k k^T along one direction (up to 49 taps). distinct_share: of the live kernels among its samples, how many
    differ by more than size and sign; null for fewer than eight. verdict: see `verdict`.
    """
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    rows = index.select(_GIVEN).to_pylist()
    positions = group_labels(index, "position")
    finite, energy = _sketched(dataset, index)
    distinct = dict(_distinct_shares(dataset.samples(index["layer_sha256"].to_pylist())))
    null = EntropyNull(dataset.options.seed)
    for done, row in enumerate(rows):
        dataset.progress(done, len(rows), "entropy of random layers")
        n, taps, entropy = int(finite[done]), row["taps"], row["variance_entropy"]
        structured, even = null.p_values(entropy, n, taps)
        row |= {
            "position": positions[done],
            "randomness_threshold": randomness_threshold(n, taps),
            "degenerate": degenerate(entropy, row["sparsity"], n, taps),
            "p_structured": structured,
            "p_even": even,
            "one_kernel_share": _known(energy[done]),
            "distinct_share": distinct.get(row["layer_sha256"]),
        }
    p_values = np.array([np.nan if row["p_structured"] is None else row["p_structured"] for row in rows], np.float64)
    for row, n, q in zip(rows, finite.tolist(), adjust_p_values(p_values).tolist(), strict=True):
        row["q_structured"] = _known(q)
        row["verdict"] = layer_verdict(row, n)
    dataset.progress(len(rows), len(rows), "entropy of random layers")
    return pa.Table.from_pylist(rows, schema=pa.schema([*(index.schema.field(name) for name in _GIVEN), *COMPUTED]))


def layer_verdict(row: Row, n_finite: int) -> str | None:
    """Return the first of these that holds.

    dead: at least 90 % of the kernels are dead, or all are zero. repeated: 99 % of the energy is that of one kernel and
    its multiples, or of the sampled live kernels at most a quarter differ by more than size and sign. random: chance
    makes such an entropy, q_structured > 0.05, though there are at least two kernels a tap. ok: it does not. None:
    nothing is known of the entropy, or there are too few kernels to tell.
    """
    if row["norm_linf"] == 0 or (row["sparsity"] is not None and row["sparsity"] >= DEAD):
        return "dead"
    one, distinct = row["one_kernel_share"], row["distinct_share"]
    if n_finite > 1 and (
        (one is not None and one >= ONE_KERNEL) or (distinct is not None and distinct <= FEW_DISTINCT)
    ):
        return "repeated"
    if row["q_structured"] is None or n_finite < KERNELS_A_TAP * row["taps"]:
        return None
    return "random" if row["q_structured"] > LEVEL else "ok"


def _sketched(dataset: DatasetView, index: pa.Table) -> tuple[NDArray[np.int64], Array]:
    """Return of each layer: kernels without NaN and infinities, and the share of the energy along one direction."""
    finite, energy = np.zeros(len(index), np.int64), np.full(len(index), np.nan)
    taps, sizes = np.array(index["taps"].to_pylist(), np.int64), np.array(index["kernel"].to_pylist())
    for here, sketches in iter_sketches(dataset, index):
        finite[here] = sketches["n_finite"].to_numpy()
        for size in np.unique(sizes[here]):
            rows = np.flatnonzero(sizes[here] == size)
            if taps[here][rows[0]] <= MAX_TAPS:
                matrices = sketch_moments(sketches.take(pa.array(rows)), "raw").second_moment()
                values = np.linalg.eigvalsh(matrices)
                total = np.trace(matrices, axis1=1, axis2=2)
                with np.errstate(invalid="ignore", divide="ignore"):
                    energy[here.start + rows] = np.where(total > 0, values[:, -1] / total, np.nan)
    return finite, energy


def _distinct_shares(samples: Iterable[tuple[str, NDArray[np.float32]]]) -> Iterable[tuple[str, float]]:
    for digest, kernels in samples:
        peaks = np.abs(kernels).max(1)
        live = np.isfinite(peaks) & (peaks > 0) & (peaks >= np.nanmax(np.where(np.isfinite(peaks), peaks, 0)) / 100)
        if live.sum() >= SAMPLED:
            shapes = kernels[live].astype(np.float64)
            largest = np.take_along_axis(shapes, np.abs(shapes).argmax(1)[:, None], 1)
            yield digest, len(np.unique(np.round(shapes / largest * GRAIN), axis=0)) / int(live.sum())


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
