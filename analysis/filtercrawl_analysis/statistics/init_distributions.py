"""The distributions that weights are initialized from, and a test of a layer's weights against each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Excess kurtosis of the distributions.
NORMAL: Final = 0.0
UNIFORM: Final = -1.2
# Largest deviation, in standard errors, of the moments of an untrained layer from its distribution.
ERRORS: Final = 4.0


@dataclass(frozen=True, kw_only=True)
class InitDistribution:
    """A distribution of initial weights with mean zero.

    Attributes:
        name: What the table column `laws` calls it.
        std: Standard deviation for the fans at hand.
        kurtosis: Excess kurtosis, `NORMAL` or `UNIFORM`.
    """

    name: str
    std: float
    kurtosis: float

    @property
    def bound(self) -> float | None:
        """The largest magnitude, sqrt(3) standard deviations; None for a normal distribution."""
        return self.std * math.sqrt(3) if self.kurtosis == UNIFORM else None


def init_distributions(shape: Sequence[int]) -> tuple[InitDistribution, ...]:
    """Return the usual initial distributions of a convolution's weight.

    fan_in = in_channels/groups * taps and fan_out = out_channels * taps, as torch counts them. Variances: 2 / fan (He
    et al. 2015), 2 / (fan_in + fan_out) (Glorot and Bengio 2010), 1 / (3 fan_in) (torch's default, Kaiming uniform
    with a = sqrt(5)).

    Args:
        shape: [out_channels, in_channels/groups, *kernel_size].
    """
    taps = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * taps, shape[0] * taps
    return (
        InitDistribution(name="torch default", std=math.sqrt(1 / (3 * fan_in)), kurtosis=UNIFORM),
        InitDistribution(name="he normal, fan in", std=math.sqrt(2 / fan_in), kurtosis=NORMAL),
        InitDistribution(name="he normal, fan out", std=math.sqrt(2 / fan_out), kurtosis=NORMAL),
        InitDistribution(name="he uniform, fan in", std=math.sqrt(2 / fan_in), kurtosis=UNIFORM),
        InitDistribution(name="he uniform, fan out", std=math.sqrt(2 / fan_out), kurtosis=UNIFORM),
        InitDistribution(name="glorot normal", std=math.sqrt(2 / (fan_in + fan_out)), kurtosis=NORMAL),
        InitDistribution(name="glorot uniform", std=math.sqrt(2 / (fan_in + fan_out)), kurtosis=UNIFORM),
    )


@dataclass(frozen=True, kw_only=True)
class WeightMoments:
    """Moments of a layer's finite weights.

    Attributes:
        n: Number of weights.
        mean: Mean.
        std: Standard deviation, divisor n.
        skewness: Third standardized moment.
        kurtosis: Excess kurtosis.
        max_abs: Largest magnitude.
    """

    n: int
    mean: float
    std: float
    skewness: float
    kurtosis: float
    max_abs: float


def weight_moments(power_sums: Sequence[float], max_abs: float) -> WeightMoments | None:
    """Return the moments of weights from their power sums.

    Args:
        power_sums: Number of weights and sums of their first four powers.
        max_abs: Largest magnitude.

    Returns:
        The moments; None for fewer than two weights, for equal weights, and where the mean is so much larger than the
        deviations that the float64 sums do not determine them.
    """
    n, *sums = power_sums
    if n < 2:
        return None
    first, second, third, fourth = (total / n for total in sums)
    variance = second - first**2
    if not variance > 1e-9 * second:
        return None
    # Central moments from raw moments.
    central_third = third - 3 * first * second + 2 * first**3
    central_fourth = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    return WeightMoments(
        n=int(n),
        mean=first,
        std=math.sqrt(variance),
        skewness=central_third / variance**1.5,
        kurtosis=central_fourth / variance**2 - 3,
        max_abs=max_abs,
    )


def is_consistent(moments: WeightMoments, distribution: InitDistribution) -> bool:
    """Return whether the weights may be independent draws from a distribution, by their moments.

    Mean, standard deviation and kurtosis must lie within four standard errors of those of the distribution, for n
    independent draws, and no weight may exceed the bound of a uniform distribution.
    """
    n = moments.n
    std_error = distribution.std * math.sqrt((distribution.kurtosis + 2) / (4 * n))
    # Variance of the sample kurtosis: 24 / n for a normal distribution; 1152 / 875 n for a uniform one, by the delta
    # method.
    kurtosis_error = math.sqrt((24 if distribution.kurtosis == NORMAL else 1152 / 875) / n)
    return (
        abs(moments.mean) <= ERRORS * distribution.std / math.sqrt(n)
        and abs(moments.std - distribution.std) <= ERRORS * std_error
        and abs(moments.kurtosis - distribution.kurtosis) <= ERRORS * kurtosis_error
        and (distribution.bound is None or moments.max_abs <= distribution.bound * (1 + 1e-6))
    )
