"""The laws by which weights are initialised, and how far a layer's weights lie from each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Excess kurtosis of the laws.
NORMAL: Final = 0.0
UNIFORM: Final = -1.2
# How many standard errors the weights of an untrained layer may lie from their law.
ERRORS: Final = 4.0


@dataclass(frozen=True, kw_only=True)
class InitDistribution:
    """A law of initial weights with mean zero. std: of the fans at hand; kurtosis: excess."""

    name: str
    std: float
    kurtosis: float

    @property
    def bound(self) -> float | None:
        """The largest magnitude; None for a normal law."""
        return self.std * math.sqrt(3) if self.kurtosis == UNIFORM else None


def init_distributions(shape: Sequence[int]) -> tuple[InitDistribution, ...]:
    """Return the usual laws for a convolution's weight [out_channels, in_channels/groups, *kernel_size].

    fan_in = in_channels/groups * taps, fan_out = out_channels * taps, as torch counts them. He et al. 2015: variance
    2 / fan; Glorot and Bengio 2010: 2 / (fan_in + fan_out); torch's default (Kaiming uniform with a = sqrt 5):
    1 / (3 fan_in).
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
    """Of a layer's n finite weights: mean, standard deviation, skewness, excess kurtosis, largest magnitude."""

    n: int
    mean: float
    std: float
    skewness: float
    kurtosis: float
    max_abs: float


def weight_moments(power_sums: Sequence[float], max_abs: float) -> WeightMoments | None:
    """Return the spread of weights from their number and sums of their first four powers; None where they are equal.

    Where the mean is far larger than the deviations, the sums of float64 say nothing of these: None too.
    """
    n, *sums = power_sums
    if n < 2:
        return None
    first, second, third, fourth = (total / n for total in sums)
    variance = second - first**2
    if not variance > 1e-9 * second:
        return None
    # Central moments from those around zero.
    cubes = third - 3 * first * second + 2 * first**3
    fourths = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    return WeightMoments(
        n=int(n),
        mean=first,
        std=math.sqrt(variance),
        skewness=cubes / variance**1.5,
        kurtosis=fourths / variance**2 - 3,
        max_abs=max_abs,
    )


def is_consistent(found: WeightMoments, law: InitDistribution) -> bool:
    """Return whether independent weights of this law may look so.

    Mean, deviation and kurtosis lie within four standard errors, those of n draws from the law, and no weight lies
    beyond a uniform law's bound.
    """
    n = found.n
    spread_error = law.std * math.sqrt((law.kurtosis + 2) / (4 * n))
    # Var of the sample kurtosis: 24 / n for a normal law; for a uniform one 1152 / 875 n, by the delta method.
    kurtosis_error = math.sqrt((24 if law.kurtosis == NORMAL else 1152 / 875) / n)
    return (
        abs(found.mean) <= ERRORS * law.std / math.sqrt(n)
        and abs(found.std - law.std) <= ERRORS * spread_error
        and abs(found.kurtosis - law.kurtosis) <= ERRORS * kurtosis_error
        and (law.bound is None or found.max_abs <= law.bound * (1 + 1e-6))
    )
