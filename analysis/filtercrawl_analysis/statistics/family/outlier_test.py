"""Whether a member of a family is farther from the others than members are: by rank, and by the tail of distances."""

from __future__ import annotations

from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.groups.resampling import LEVEL

# Members from which a rank can be told from chance: 1 / MIN_MODELS is the smallest p-value of a rank.
MIN_MODELS: Final = round(1 / LEVEL)


def rank_p_values(distances: Array) -> Array:
    """Return the share of members that are at least as far as each one, itself counted.

    If the models of a family are exchangeable, the rank of one that was chosen beforehand is uniform, and this is a
    valid p-value whatever the law of distances is (conformal prediction: Vovk, Gammerman and Shafer 2005, Algorithmic
    Learning in a Random World). It cannot be below 1 / n. In each family some member has p = 1 / n, so that these
    p-values tell nothing where all members are looked at: after Benjamini-Hochberg all are 1.

    Args:
        distances: Distance of each member [members].
    """
    nearer = np.searchsorted(np.sort(distances), distances)
    p_values: Array = (len(distances) - nearer) / len(distances)  # at 1 in 20 exactly 0.05
    return p_values


def tail_p_values(distances: Array) -> Array:
    """Return the probability that a further model of the family is at least as far as each member.

    The others tell the tail. D is a squared length to second order, so that x = sqrt(d) is a length. Of the n - 1
    others, the m = floor((n - 1) / 2) longest are taken to exceed the next one, u, by amounts of an exponential law
    (exceedances of a threshold: Davison and Smith 1990), with the mean h. Of equal exponential laws, the ratio of one
    excess to the mean of m others has the F distribution with 2 and 2 m degrees of freedom, which gives

        p = (m + 1) / n * (1 + (x - u) / (m h)) ** -m    for x > u

    where (m + 1) / n is the probability to exceed u. Lengths of models that vary by a normal law have a lighter tail,
    and p is too large; with heavier tails than exponential ones it is too small. Up to u it is the p-value of the rank.

    Args:
        distances: Distance of each member [members], at least four.

    Returns:
        The p-values [members]; those of ranks where the m longest others are all equal to u.
    """
    p_values = rank_p_values(distances)
    lengths = np.sqrt(distances)
    n, m = len(lengths), (len(lengths) - 1) // 2
    # The members beyond u are among the first m + 1 of all; without one of these, u is the next.
    order = np.argsort(-lengths, kind="stable")
    threshold = lengths[order[m + 1]]
    excesses = lengths[order[: m + 1]] - threshold
    for place, excess in enumerate(excesses):
        of_others = np.delete(excesses, place).sum()
        if excess > 0 and of_others > 0:
            p_values[order[place]] = (m + 1) / n * (1 + excess / of_others) ** -m
    return p_values
