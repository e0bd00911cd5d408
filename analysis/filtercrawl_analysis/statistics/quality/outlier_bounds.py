"""Lower bounds of the share of a layer's energy that lies in few of its kernels, from a sample and exact totals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq

from filtercrawl_analysis.numerics.moments import Array

# Few kernels are at most one in so many, or one.
ONE_IN: Final = 20
# A smaller layer has no few kernels.
MIN_KERNELS: Final = 32
# Share of the energy from which on the fewest kernels are named that hold it.
MOST_ENERGY: Final = 0.8
# Probability that a bound does not hold, and how it is divided between the number of kernels above the sampled ones and
# the energy below.
ERROR: Final = 0.05
_NUMBER_ERROR: Final = 0.04
# Kernels below this part of the largest magnitude are counted exactly; their count serves if the sample tells their
# energy to about this share of the total.
_LOW: Final = 0.01
_NEGLIGIBLE: Final = 0.1
# Comparisons of float32 with float64 numbers.
_ROUNDING: Final = 1e-6
# Shares of the largest possible bet that are averaged, see `mean_upper_bound`.
_BETS: Final = np.linspace(0.02, 0.98, 25)
_ALMOST_ONE: Final = 1 - 1e-6
_PRECISION: Final = 1e-9


@dataclass(frozen=True, kw_only=True)
class LayerTotals:
    """What is known of all kernels of a layer.

    Attributes:
        n_kernels: Kernels without NaN and infinities.
        n_low: Those of them whose largest magnitude is below a hundredth of the layer's.
        energy: Sum of squared weights.
        fourth_powers: Sum of fourth powers of weights.
        max_abs: Largest magnitude.
    """

    n_kernels: int
    n_low: int
    energy: float
    fourth_powers: float
    max_abs: float


@dataclass(frozen=True, kw_only=True)
class OutlierBound:
    """So many kernels of a layer hold at least this share of its energy.

    Attributes:
        share: Lower bound of the share.
        kernels: Upper bound of their number.
    """

    share: float
    kernels: int


def outlier_bound(kernels: Array, totals: LayerTotals) -> OutlierBound | None:
    """Return how much energy at least lies in how many kernels at most, with 95 % confidence, or exactly.

    The number is at most one kernel in 20, or one. Of the bounds below, it is the one of the fewest kernels with 80 %
    of the energy, or else the one of the largest share.

    * All kernels sampled: exact.
    * One kernel holds at least the square of the largest magnitude, and at least the sum of fourth powers over the
      energy, as fourth powers are at most products of energies. The largest sampled kernels hold their own energy. No
      chance is involved.
    * Kernels below a hundredth of the largest magnitude are counted exactly, so those above are, too. The sampled ones
      below bound the energy of all that are.
    * Else the number of kernels above the largest sampled one is bounded (negative hypergeometric distribution).
      Given that one, the other sampled ones are a random sample of the kernels below, whose energies it bounds.

    Args:
        kernels: Finite kernels [k, taps], all of the layer or a random sample.
        totals: Of the layer they are from, whose energy is positive.

    Returns:
        The bound; None for fewer than 32 kernels.
    """
    if totals.n_kernels < MIN_KERNELS:
        return None
    few = max(1, totals.n_kernels // ONE_IN)
    bounds = [bound for bound in _bounds(kernels, totals) if bound.kernels <= few]
    enough = [bound for bound in bounds if bound.share >= MOST_ENERGY]
    if enough:
        return min(enough, key=lambda bound: (bound.kernels, -bound.share))
    return max(bounds, key=lambda bound: (bound.share, -bound.kernels))


def _bounds(kernels: Array, totals: LayerTotals) -> Iterator[OutlierBound]:
    energies = np.sort((kernels**2).sum(1))
    for i, held in enumerate(np.cumsum(energies[::-1])):
        yield OutlierBound(share=min(1.0, float(held) / totals.energy), kernels=i + 1)
    if len(energies) < totals.n_kernels:
        largest = max(totals.max_abs**2, totals.fourth_powers / totals.energy)
        yield OutlierBound(share=min(1.0, largest / totals.energy), kernels=1)
        yield _bound_above_counted(kernels, totals) or _bound_above_sampled(energies, totals)


def _bound_above_counted(kernels: Array, totals: LayerTotals) -> OutlierBound | None:
    """Return the bound of the kernels that are not low; None where the totals show that it would tell little."""
    low_peak = _LOW * totals.max_abs
    low = (kernels[np.abs(kernels).max(1) < low_peak] ** 2).sum(1)
    top = kernels.shape[1] * low_peak**2 * (1 + _ROUNDING)
    n_high = totals.n_kernels - totals.n_low
    uncertain = totals.n_low * top * -math.log(ERROR) / len(kernels)
    if n_high > totals.n_kernels // ONE_IN or uncertain > _NEGLIGIBLE * totals.energy:
        return None
    below = totals.n_low * mean_upper_bound(low, top, ERROR)
    return OutlierBound(share=max(0.0, 1 - below / totals.energy), kernels=n_high)


def _bound_above_sampled(energies: Array, totals: LayerTotals) -> OutlierBound:
    """Return the bound of the largest sampled kernel and those above it."""
    below = totals.n_kernels * mean_upper_bound(energies[:-1], float(energies[-1]), ERROR - _NUMBER_ERROR)
    above = most_above(len(energies), totals.n_kernels, _NUMBER_ERROR)
    return OutlierBound(share=max(0.0, 1 - below / totals.energy), kernels=1 + above)


def most_above(n_sampled: int, n_kernels: int, error: float) -> int:
    """Return how many kernels at most are larger than all sampled ones.

    Args:
        n_sampled: Kernels in the sample, drawn without replacement.
        n_kernels: Kernels to draw from.
        error: Probability that there are more, at most.
    """
    i = np.arange(n_kernels - n_sampled)
    # Probability that the i + 1 largest kernels are not in the sample.
    missed = np.cumprod((n_kernels - n_sampled - i) / (n_kernels - i))
    return int((missed > error).sum())


def mean_upper_bound(values: Array, top: float, error: float) -> float:
    """Return an upper bound of the mean of a population, from a random sample without replacement.

    The product of 1 + b (m - x) over the sample has an expectation of at most 1 if the mean is m or more and no factor
    is negative, and so has its average over several b; by Markov's inequality it seldom exceeds 1 / error (Waudby-Smith
    and Ramdas 2024, "Estimating means of bounded random variables by betting"). Without replacement the factors are
    negatively associated (Joag-Dev and Proschan 1983), which lowers the expectation.

    Args:
        values: The sample [k].
        top: The largest value that is possible; the smallest is 0.
        error: Probability that the mean is larger, at most.
    """
    if top <= 0:
        return 0.0
    shares = values / top

    def excess(mean: float) -> float:
        factors = np.log1p(_BETS[:, None] * (mean - shares) / (1 - mean))
        return float(np.logaddexp.reduce(factors.sum(1)) - math.log(len(_BETS)) + math.log(error))

    if excess(_ALMOST_ONE) <= 0:
        return top
    return top * min(1.0, float(brentq(excess, 0.0, _ALMOST_ONE, xtol=_PRECISION)) + _PRECISION)
