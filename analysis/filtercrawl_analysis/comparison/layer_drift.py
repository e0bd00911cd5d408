"""The drift D between the kernels of two layers of one kernel size."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from filtercrawl.api.measure import LayerSummary
from filtercrawl.dataset.schema.arrow import SKETCHES
from filtercrawl_analysis.layer_stats.sketch import LayerSketch
from filtercrawl_analysis.numerics.dct_basis import BINS, MAX_TAPS, dct_basis, histogram_range
from filtercrawl_analysis.numerics.moments import sketch_moments
from filtercrawl_analysis.statistics.components.pca import explained_variance_along
from filtercrawl_analysis.statistics.drift.divergence import paired_drift, probabilities


def has_drift(kernel_size: tuple[int, ...]) -> bool:
    """Tell whether kernels of this size have a drift: more than one tap, and at most 49."""
    return 1 < int(np.prod(kernel_size)) <= MAX_TAPS


def layer_drift(a: NDArray[np.float32], b: NDArray[np.float32]) -> float | None:
    """Return D between two layers as `analyze` computes it from sketches.

    Kernels are scaled to a largest magnitude of 1, projected onto the DCT-II basis and counted in 70 bins; components
    are weighted by their share of the variance of both layers together.

    Args:
        a: float32 `[out, in/groups, *kernel_size]`.
        b: Of the same kernel size.

    Returns:
        D; None for kernels of one tap or more than 49, and where a layer has no finite kernel or no two kernels differ.
    """
    kernel_size = a.shape[2:]
    if not has_drift(kernel_size):
        return None
    taps = int(np.prod(kernel_size))
    sketches = pa.Table.from_pylist([_sketch(a), _sketch(b)], schema=SKETCHES)
    if min(sketches["n_finite"].to_pylist()) == 0:
        return None
    weights = explained_variance_along(sketch_moments(sketches, "scaled").total(), dct_basis(kernel_size))
    if weights is None:
        return None
    low, high = histogram_range(taps)
    counts = np.array(sketches["histogram"].to_pylist()).reshape(2, taps, BINS)
    p, q = probabilities(counts, (high - low) / BINS)
    return float(paired_drift(p, q, weights))


def _sketch(weight: NDArray[np.float32]) -> dict[str, object]:
    finite = np.abs(weight[np.isfinite(weight)])
    summary = LayerSummary(
        shape=weight.shape,
        n_kernels=weight.shape[0] * weight.shape[1],
        taps=int(np.prod(weight.shape[2:])),
        max_abs=float(finite.max()) if finite.size else 0.0,
    )
    sketch = LayerSketch(summary)
    sketch.update(torch.from_numpy(weight))
    return {"layer_sha256": "", **sketch.finish()}
