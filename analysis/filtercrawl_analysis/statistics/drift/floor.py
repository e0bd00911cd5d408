"""The floor of a drift: what two groups with equal distributions are expected to show at their numbers of kernels."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from scipy.stats import poisson

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.drift.divergence import EPSILON

# Expected counts that terms are tabulated for; above, the term is 1 + 1 / (2 count) with an error below 1e-4.
_LOW: Final = 1e-9
_HIGH: Final = 100.0
_POINTS: Final = 1500


def expected_drift(distribution: Array, kernels: tuple[float, float], weights: Array, bin_width: float) -> float:
    """Return the expected drift D between two samples of kernels from one distribution.

    D is a sum over bins. In each, the expectation of (P - Q) (log P - log Q) for the shares P and Q of independent
    samples is that of (P - p) log P plus that of (Q - p) log Q, and a share depends only on a binomial count, here
    taken as Poisson with the variance of the binomial. Kernels are independent draws: the floor has no spread between
    models.

    Args:
        distribution: The common distribution [components, bins].
        kernels: Number of kernels of either sample.
        weights: Weight of each component in the drift [components].
        bin_width: Width of a bin, which the density of empty bins depends on.
    """
    per_bin = sum(_excess(distribution, n, bin_width) for n in kernels)
    return float(weights @ np.sum(per_bin, axis=-1))


def _excess(p: Array, n: float, bin_width: float) -> Array:
    """Return the expectation of (P - p) log P for the share P of a bin in n kernels."""
    counts = n * p
    full = np.where(
        counts < _HIGH, np.interp(np.log(np.clip(counts, _LOW, _HIGH)), *_table()), 1 + 0.5 / np.maximum(counts, 1)
    )
    empty = counts * np.exp(-counts) * np.log(1 / (n * EPSILON * bin_width))
    excess: Array = (full * (1 - p) + empty) / n
    return excess


@cache
def _table() -> tuple[Array, Array]:
    """Return log(c) and the expectation of (X - c) log X over X > 0, for X Poisson with mean c."""
    means = np.geomspace(_LOW, _HIGH, _POINTS)
    values = np.arange(1, int(_HIGH + 12 * np.sqrt(_HIGH)))
    terms = poisson.pmf(values, means[:, None]) * (values - means[:, None]) * np.log(values)
    return np.log(means), terms.sum(1)
