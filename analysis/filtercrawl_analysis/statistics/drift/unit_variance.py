"""The variance of a sum of contributions of independent units, as far as a test or an interval needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.drift.model_histograms import Indices


@dataclass(frozen=True, kw_only=True)
class VarianceMoments:
    """Moments of the covariance matrix V of a sum of vectors, estimated from their scatter within sets.

    Attributes:
        trace: tr V, the expected squared length of the sum about its mean.
        trace_of_square: tr V^2.
        degrees_of_freedom: Those of `trace` as a scaled chi-square variable (Welch and Satterthwaite).
    """

    trace: float
    trace_of_square: float
    degrees_of_freedom: float

    @property
    def n_directions(self) -> float:
        """Degrees of freedom of the squared length as a scaled chi-square variable (Box 1954), at least 1."""
        return max(self.trace**2 / self.trace_of_square, 1.0)

    @property
    def variance_of_squared_length(self) -> float:
        """Variance of the squared length of a sum with mean zero less its estimated expectation."""
        return 2 * self.trace_of_square + 2 * self.trace**2 / self.degrees_of_freedom


def variance_moments(gram: Array, sets: Sequence[Indices], pseudo_units: float = 0.0) -> VarianceMoments | None:
    """Estimate the covariance of a sum of contributions, those of a set having equal means and covariances.

    tr V^2 is estimated from the inner products of different units (Chen and Qin 2010), as those of a unit with itself
    would overstate it.

    Args:
        gram: Inner products of the contributions of units [units, units].
        sets: The units of each set; sets of one unit are ignored.
        pseudo_units: Number of units more in each set that vary in a single direction. The ratio of tr V^2 to the
            square of tr V, one over the number of directions, then falls short less often where units are few.

    Returns:
        The moments; None where no set has two units that differ.
    """
    centered = [(members, _centered(gram, members)) for members in sets if len(members) > 1]
    traces = [n / (n - 1) * float(np.trace(g)) for n, g in ((len(m), g) for m, g in centered)]
    total = sum(traces)
    if not total > 0:
        return None
    squares = [_trace_of_square(g) for _, g in centered]
    # A set of two tells nothing of its number of directions: it has that of the others.
    ratios = [s / t**2 for s, t in zip(squares, traces, strict=True) if s is not None and t > 0]
    ratio = float(np.mean(ratios)) if ratios else 1.0
    known = []
    for s, t, (members, _) in zip(squares, traces, centered, strict=True):
        weight = pseudo_units / (len(members) - 1 + pseudo_units)
        known.append((1 - weight) * (ratio * t**2 if s is None else s) + weight * t**2)
    cross = 0.0
    for i, (first, _) in enumerate(centered):
        for second, _ in centered[i + 1 :]:
            block = center(gram[np.ix_(first, second)])
            n, m = block.shape
            cross += 2 * n * m / ((n - 1) * (m - 1)) * float((block**2).sum())
    variance = sum(s / (len(m) - 1) for s, (m, _) in zip(known, centered, strict=True))
    return VarianceMoments(trace=total, trace_of_square=sum(known) + cross, degrees_of_freedom=total**2 / variance)


def _trace_of_square(centered: Array) -> float | None:
    """Return tr V^2 of the sum of n units from the inner products of different units about their mean.

    With each unit's own length left out, units of unequal variance do not pass for few directions.
    """
    n = len(centered)
    if n < 3:
        return None
    lengths = np.diag(centered)
    trace = float(lengths.sum()) / (n - 1)
    mean_square = float((centered**2).sum() - (lengths**2).sum()) / (n * (n - 1))
    estimate = (mean_square - (trace / n) ** 2) / ((1 - 1 / n) ** 2 + 1 / n**2)
    return n**2 * max(estimate, 1e-3 * trace**2)


def _centered(gram: Array, members: Indices) -> Array:
    return center(gram[np.ix_(members, members)])


def center(block: Array) -> Array:
    """Return inner products of vectors about their means, from those about the origin."""
    centered: Array = block - block.mean(0) - block.mean(1)[:, None] + block.mean()
    return centered
