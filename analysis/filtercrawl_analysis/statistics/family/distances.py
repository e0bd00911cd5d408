"""The distance of each member of a family from the mean of the others, all thinned to one number of kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.drift.divergence import paired_drift
from filtercrawl_analysis.statistics.drift.group_cells import MIN_KERNELS
from filtercrawl_analysis.statistics.drift.model_histograms import Indices
from filtercrawl_analysis.statistics.drift.rarefaction import size_weight, thin

# Pseudo-count of kernels in each bin (Jeffreys). With empty bins set to the epsilon of float32, as D has them, bins of
# few kernels decide, and shifted models are found half as often (docs/calibration.md).
PSEUDO_COUNT: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class FamilyDistances:
    """The distances of the members of a family.

    Attributes:
        kernels: Number of kernels that all are thinned to; 0 where fewer than two members have enough.
        members: Positions of the members that have as many, int64 [members].
        distances: Their distances from the mean of the other members, float64 [members].
    """

    kernels: int
    members: Indices
    distances: Array


def family_distances(counts: Array, weights: Array, enough: int, random: np.random.Generator) -> FamilyDistances:
    """Return how far each model of a family is from the others.

    The distance of model i is the drift D between its distribution p_i and that of the other members together, q_i,
    of which each has the same weight:

        d_i = sum_c w_c sum_b (p_icb - q_icb) log(p_icb / q_icb)
        p_icb = (h_icb + 1/2) / (k + B_c / 2)
        q_icb = (sum_{j != i} h_jcb + 1/2) / ((n - 1) k + B_c / 2)

    with h_j the histograms of the n members, thinned to k kernels each. The sum is over the B_c bins in which any
    member has a kernel: the pseudo-count is added to those alone, and to the sum of the other members once. A histogram
    of few kernels is noisier than one of many and so farther from all others. All members are thus thinned to one
    number of kernels, which follows from sizes alone: if models are exchangeable, so are their distances.

    Args:
        counts: Histograms of the models [models, components, bins].
        weights: Weight of each component [components].
        enough: Number of members below which none is left out for the sake of more kernels a member.
        random: Source of random numbers for thinning.
    """
    sizes = counts.sum(-1).min(-1).astype(np.int64)
    kernels = common_kernels(sizes, enough)
    members = np.flatnonzero(sizes >= kernels) if kernels else np.zeros(0, np.int64)
    if not len(members):
        return FamilyDistances(kernels=0, members=members, distances=np.zeros(0))
    shares = np.stack([thin(counts[member], kernels, random) for member in members])
    return FamilyDistances(kernels=kernels, members=members, distances=distances_from_others(shares, kernels, weights))


def common_kernels(sizes: Indices, enough: int) -> int:
    """Return the number of kernels to thin members to, the best compromise of many members and many kernels.

    Args:
        sizes: Number of kernels of each model.
        enough: Number of members below which none is left out.

    Returns:
        The number k that maximizes n k / (k + `TYPICAL_KERNELS`), with n the models of at least k kernels; 0 where
        fewer than two models have `MIN_KERNELS`.
    """
    candidates = np.unique(sizes[sizes >= MIN_KERNELS])
    members = (sizes[:, None] >= candidates).sum(0)
    if not len(members) or members[0] < 2:
        return 0
    kept = members >= min(members[0], enough)
    precision = np.where(kept, members * size_weight(candidates), 0)
    return int(candidates[np.argmax(precision)])


def distances_from_others(shares: Array, kernels: int, weights: Array) -> Array:
    """Return the distance of each member from the mean of the others, [members].

    Args:
        shares: Share of each bin in the histograms of members [members, components, bins].
        kernels: Number of kernels of each member.
        weights: Weight of each component [components].
    """
    n_others = len(shares) - 1
    total = shares.sum(0)
    filled = total > 0
    own = _smoothed(shares, PSEUDO_COUNT / kernels * filled)
    others = _smoothed((total - shares) / n_others, PSEUDO_COUNT / (kernels * n_others) * filled)
    return paired_drift(own, others, weights)


def _smoothed(shares: Array, pseudo: Array) -> Array:
    """Add pseudo-counts; a bin without one, which no member has, gets 1 on both sides and does not count."""
    smoothed: Array = np.where(pseudo > 0, (shares + pseudo) / (1 + pseudo.sum(-1, keepdims=True)), 1.0)
    return smoothed
