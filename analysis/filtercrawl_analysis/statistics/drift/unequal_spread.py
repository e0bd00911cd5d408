"""A bound on p-values that does not need the models of both groups to vary alike (the Behrens-Fisher problem).

Exchange of models is exact where models of both groups have one distribution. Where a small group varies more than a
large one, equal means are rejected too often, most where the small group has few models and their spread is hardly
known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import chi2, ttest_ind
from scipy.stats import f as f_distribution

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.drift.permutation_test import ExchangeStatistic
from filtercrawl_analysis.statistics.drift.rarefaction import Pool
from filtercrawl_analysis.statistics.drift.unit_variance import VarianceMoments, center

# How many times as many models the larger group of an unbalanced pair has.
UNBALANCED: Final = 2
# Models of the smaller group of an unbalanced pair from which their spread cannot be told.
FEW_MODELS: Final = 4
# Level of the test of equal spread. It need not find every inequality: small ones do little harm, and the test along
# the difference bears those in a single direction.
SPREAD_LEVEL: Final = 0.02
# Factor of the degrees of freedom of the test along the difference. Tests that rest on the variance of a few numbers
# reject too often where these have no tails, as positions of models between two laws (docs/calibration.md).
TAILLESS: Final = 0.7


@dataclass(frozen=True, kw_only=True)
class SpreadBound:
    """What is taken for granted about the spread of two groups.

    Attributes:
        moments: Moments of the difference of the means; None where no side has two models that differ.
        cautious: Whether the number of directions is taken as if one more model of each side varied in one direction.
    """

    moments: VarianceMoments | None
    cautious: bool

    def p_value(self, statistic: ExchangeStatistic) -> float:
        """Return the larger of the p-values of the length of the difference, and of its size along its direction.

        Args:
            statistic: The statistic.

        Returns:
            The p-value; 0, which never decides, where the variance is unknown, and where all cells swap in pairs, as
            the difference of a pair has one distribution in both orders.
        """
        if self.moments is None or not statistic.design.pools:
            return 0.0
        return max(self.length_p_value(statistic), _directional_p_value(statistic, self.moments.trace))

    def length_p_value(self, statistic: ExchangeStatistic) -> float:
        """Return the p-value of the squared length as an F variable (Box 1954; Brunner, Dette and Munk 1997)."""
        if self.moments is None:
            return 0.0
        ratio = statistic.squared_length() / self.moments.trace
        return float(f_distribution.sf(ratio, self.moments.n_directions, self.moments.degrees_of_freedom))

    def critical_length(self, level: float) -> float:
        """Return the squared length of the difference from which its p-value is at most `level`; 0 if unknown."""
        if self.moments is None:
            return 0.0
        quantile = f_distribution.isf(level, self.moments.n_directions, self.moments.degrees_of_freedom)
        return self.moments.trace * float(quantile)


def critical_excess(moments: VarianceMoments, level: float, variance_along: float, power: float) -> float:
    """Return the squared length of a shift from which Welch's test along the difference gives at most `level`.

    Args:
        moments: Moments of the difference of the means.
        level: Largest p-value that is significant.
        variance_along: Variance of the difference of the means along the shift.
        power: Probability with which the variance is estimated to be no larger than is taken here.
    """
    freedom = max(TAILLESS * moments.degrees_of_freedom / moments.n_directions, 1.0)
    quantile = float(f_distribution.isf(level, 1, freedom) * chi2.ppf(power, freedom) / freedom)
    # The difference is the shift and noise in all directions: its variance along itself is that of both.
    half = quantile * variance_along / 2
    return float(half + np.sqrt(half**2 + quantile * moments.trace_of_square))


def spread_bound(statistic: ExchangeStatistic) -> SpreadBound:
    """Return the bound: cautious where the spread of groups may differ in the way that exchange does not bear.

    That is where the smaller group of an unbalanced pair has few models, or varies more than the larger, and where the
    groups of a balanced pair clearly differ in spread. A few models that are close to each other by chance leave few
    signs of how they vary, so what they show is taken with one model more that varies in a single direction.
    """
    cautious = _spread_may_differ(statistic)
    return SpreadBound(moments=statistic.moments(pseudo_units=1.0 if cautious else 0.0), cautious=cautious)


def _directional_p_value(statistic: ExchangeStatistic, trace: float) -> float:
    """Return the p-value of Welch's test of the models along the observed difference.

    Where the few models of a group vary in a single direction and are close together in it by chance, the noise of all
    directions hides that they vary, and the length of the difference is compared with too little. Along the difference
    they are still seen to vary. What the noise across it adds to its length is taken off.

    Args:
        statistic: The statistic.
        trace: The expected squared length of the difference about its mean.

    Returns:
        The p-value; 0, which never decides, where the difference is no longer than noise across it makes it: then the
        p-value of its length is large.
    """
    length = statistic.squared_length()
    along, sets = statistic.along_difference()
    found = [(len(members) * float(along[members].var(ddof=1)), len(members)) for members in sets if len(members) > 1]
    variance = sum(v for v, _ in found)  # of the difference along itself, times its squared length
    if not (length > 0 and variance > 0):
        return 0.0
    excess = length - trace + variance / length
    freedom = TAILLESS * variance**2 / sum(v**2 / (n - 1) for v, n in found)
    return float(f_distribution.sf(excess**2 / variance, 1, freedom)) if excess > 0 else 0.0


def _spread_may_differ(statistic: ExchangeStatistic) -> bool:
    pools = statistic.design.pools
    if not pools:
        return False
    n_first, n_second = (sum(getattr(pool, side) for pool in pools) for side in ("n_first", "n_second"))
    unbalanced = max(n_first, n_second) >= UNBALANCED * min(n_first, n_second)
    if unbalanced and min(n_first, n_second) <= FEW_MODELS:
        return True
    first, second = _log_distances(statistic, pools)
    if min(len(first), len(second)) < 2:
        return False
    side = "two-sided" if not unbalanced else "greater" if n_first < n_second else "less"
    return bool(ttest_ind(first, second, equal_var=False, alternative=side).pvalue <= SPREAD_LEVEL)


def _log_distances(statistic: ExchangeStatistic, pools: tuple[Pool, ...]) -> tuple[Array, Array]:
    """Return the logarithms of the squared distances of the models of either side from their mean."""
    found: tuple[list[Array], list[Array]] = ([], [])
    start = len(statistic.design.pairs)
    for pool in pools:
        middle, stop = start + pool.n_first, start + len(pool.cells)
        for side, members in zip(found, (slice(start, middle), slice(middle, stop)), strict=True):
            block = statistic.gram[members, members]
            if len(block) > 2:  # two models are equally far from their mean
                squared = np.diag(center(block)) * len(block) / (len(block) - 1)
                side.append(np.log(squared[squared > 0]))
        start = stop
    return np.concatenate([*found[0], []]), np.concatenate([*found[1], []])
