"""Spearman's rank correlation over all models and within families, with a permutation test and an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.groups.resampling import LEVEL

# A correlation of two ranks is always 1 or -1.
MIN_STRATUM: Final = 3
# Fewer degrees of freedom tell nothing: even a perfect correlation has an interval from near 0.
MIN_FREEDOM: Final = 7
_TOLERANCE: Final = 1e-12
# Numbers that are permuted at a time: 8 MiB.
_MAX_NUMBERS: Final = 1 << 20
# Of fewer independent pairs, Fisher's interval has no width.
_FEWEST_INDEPENDENT: Final = 4.0


@dataclass(frozen=True, kw_only=True)
class RankCorrelation:
    """A rank correlation, or the mean of those of several strata.

    Attributes:
        rho: The correlation.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p_value: Two-sided, of permutations within the strata.
        models: Models that it is of.
        by_stratum: Number of models and correlation of each stratum; strata of equal values or too few have none.
    """

    rho: float
    low: float
    high: float
    p_value: float
    models: int
    by_stratum: dict[int, tuple[int, float]]


def rank_correlation(
    x: Array, y: Array, strata: NDArray[np.int64], draws: int, random: np.random.Generator
) -> RankCorrelation | None:
    """Return the mean over strata of Spearman's rank correlation, each weighted by its n - 1.

    The variance of a rank correlation of n independent pairs is 1 / (n - 1), so that these are the weights of the
    fixed-effect mean of a meta-analysis under the null hypothesis. One stratum gives the usual correlation. The test
    permutes y within strata: differences between strata, such as families that are both larger and better, play no
    part. The interval is Fisher's with the variance (1 + rho^2 / 2) / (n - 3) (Bonett and Wright 2000), where n - 1
    is the sum of the weights.

    Args:
        x: Numbers, float64 [models].
        y: Numbers, float64 [models].
        strata: Stratum of each model, int64 [models]; those below 0 are left out.
        draws: Number of permutations.
        random: Source of the permutations.

    Returns:
        None where the strata have fewer than 7 degrees of freedom together.
    """
    ranks = {int(code): _standardized(x, y, strata == code) for code in np.unique(strata[strata >= 0])}
    known = {code: pair for code, pair in ranks.items() if pair is not None}
    freedom = sum(len(a) - 1 for a, _ in known.values())
    if freedom < MIN_FREEDOM:
        return None
    found = {code: (len(a), float(a @ b)) for code, (a, b) in known.items()}
    rho = max(-1.0, min(1.0, sum((n - 1) * value for n, value in found.values()) / freedom))
    permuted = np.zeros(draws)
    for a, b in known.values():
        permuted += (len(a) - 1) / freedom * permuted_products(a, b, draws, random)
    as_large = int((np.abs(permuted) >= abs(rho) - _TOLERANCE).sum())
    low, high = interval(rho, freedom + 1)
    return RankCorrelation(
        rho=rho,
        low=low,
        high=high,
        p_value=(1 + as_large) / (1 + draws),
        models=sum(n for n, _ in found.values()),
        by_stratum=found,
    )


def clustered_correlation(
    x: Array, y: Array, clusters: NDArray[np.int64], draws: int, random: np.random.Generator
) -> RankCorrelation | None:
    """Return Spearman's rank correlation over all models, of which those of a cluster are not independent.

    Under the null hypothesis, the ranks of y are the mean of a cluster and a rest, and neither depends on x: the test
    permutes means among clusters and rests within them. With every model in a cluster of its own it is the usual one.
    The interval is that of as many independent pairs as have the variance of the permuted correlations, 1 / (n - 1).

    Args:
        x: Numbers, float64 [models].
        y: Numbers, float64 [models].
        clusters: Cluster of each model, int64 [models], numbered from 0.
        draws: Number of permutations.
        random: Source of the permutations.

    Returns:
        None for fewer than 8 models, or where all have the same number.
    """
    pair = _standardized(x, y, np.ones(len(x), np.bool_))
    if pair is None or len(x) - 1 < MIN_FREEDOM:
        return None
    a, b = pair
    rho = max(-1.0, min(1.0, float(a @ b)))
    sizes = np.bincount(clusters)
    means = np.bincount(clusters, b) / sizes
    # The permuted correlation is a sum over clusters of x times mean, and a sum over models of x times rest.
    sums: Array = np.bincount(clusters, a).astype(np.float64)
    permuted = permuted_products(sums, means, draws, random)
    rest = b - means[clusters]
    for code in np.flatnonzero(sizes > 1):
        members = clusters == code
        permuted += permuted_products(a[members], rest[members], draws, random)
    as_large = int((np.abs(permuted) >= abs(rho) - _TOLERANCE).sum())
    spread = float(permuted.var())
    independent = min(float(len(x)), 1 + 1 / spread) if spread > 0 else float(len(x))
    low, high = interval(rho, max(independent, _FEWEST_INDEPENDENT))
    p_value = (1 + as_large) / (1 + draws)
    return RankCorrelation(rho=rho, low=low, high=high, p_value=p_value, models=len(x), by_stratum={})


def permuted_products(a: Array, b: Array, draws: int, random: np.random.Generator) -> Array:
    """Return the scalar products of a and random orders of b, float64 [draws]; memory is bounded whatever their length.

    Args:
        a: Numbers, float64 [n].
        b: Numbers, float64 [n].
        draws: Number of permutations.
        random: Source of the permutations.
    """
    step = max(1, _MAX_NUMBERS // len(b))
    products = np.empty(draws)
    for start in range(0, draws, step):
        orders = random.permuted(np.tile(b, (min(step, draws - start), 1)), axis=1)
        products[start : start + step] = orders @ a
    return products


def interval(rho: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of a rank correlation of n pairs; n is above 3."""
    half = float(norm.ppf(1 - LEVEL / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    # The correlation of n ranks is a multiple of 6 / (n^3 - n): one that is 1 may be of a population just below.
    largest = 1 - 6 / (n**3 - n)
    z = math.atanh(max(-largest, min(largest, rho)))
    return min(math.tanh(z - half), rho), max(math.tanh(z + half), rho)


def _standardized(x: Array, y: Array, members: NDArray[np.bool_]) -> tuple[Array, Array] | None:
    """Return the ranks of both within a stratum with mean 0 and length 1; None where they cannot be ranked."""
    if members.sum() < MIN_STRATUM:
        return None
    pair = [rankdata(values[members]) for values in (x, y)]
    centred = [ranks - ranks.mean() for ranks in pair]
    lengths = [float(np.linalg.norm(ranks)) for ranks in centred]
    if min(lengths) == 0:
        return None
    return centred[0] / lengths[0], centred[1] / lengths[1]
