"""The distributions that convolution weights are initialized from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy import special

from filtercrawl_analysis.numerics.moments import Array

# Standard deviation of a standard normal distribution truncated at two standard deviations.
TRUNCATED_STD: Final = 0.8796256610342398


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A symmetric distribution of mean 0 and standard deviation 1.

    Attributes:
        name: Its name.
        kurtosis: Excess kurtosis.
        quantile: The quantiles of probabilities.
        bound: The largest magnitude that is possible; None if there is none.
    """

    name: str
    kurtosis: float
    quantile: Callable[[Array], Array]
    bound: float | None = None

    def quantiles(self, count: int) -> Array:
        """Return `count` quantiles, of probabilities in the middle of equal steps."""
        return _quantiles(self.quantile, count)


@lru_cache(maxsize=256)
def _quantiles(quantile: Callable[[Array], Array], count: int) -> Array:
    return quantile((np.arange(count) + 0.5) / count)


def _normal_quantile(probabilities: Array) -> Array:
    quantiles: Array = special.ndtri(probabilities)
    return quantiles


def _uniform_quantile(probabilities: Array) -> Array:
    return math.sqrt(3) * (2 * probabilities - 1)


def _truncated_quantile(probabilities: Array) -> Array:
    low, high = special.ndtr(-2.0), special.ndtr(2.0)
    quantiles: Array = special.ndtri(low + probabilities * (high - low)) / TRUNCATED_STD
    return quantiles


def _truncated_kurtosis() -> float:
    grid = (np.arange(100_000) + 0.5) / 100_000
    return float((_truncated_quantile(grid) ** 4).mean()) - 3


NORMAL: Final = Shape(name="normal", kurtosis=0.0, quantile=_normal_quantile)
UNIFORM: Final = Shape(name="uniform", kurtosis=-1.2, quantile=_uniform_quantile, bound=math.sqrt(3))
TRUNCATED: Final = Shape(
    name="truncated", kurtosis=_truncated_kurtosis(), quantile=_truncated_quantile, bound=2 / TRUNCATED_STD
)


@dataclass(frozen=True, kw_only=True)
class InitDistribution:
    """A distribution of initial weights with mean zero.

    Attributes:
        name: What the table column `nearest_law` calls it.
        std: Standard deviation for the fans at hand.
        shape: The distribution of a weight over `std`.
        orthogonal: Whether the filters are orthogonal to each other.
    """

    name: str
    std: float
    shape: Shape
    orthogonal: bool = False

    def std_error(self, n_weights: int) -> float:
        """Return the relative standard error of the standard deviation of n independent weights."""
        return math.sqrt((self.shape.kurtosis + 2) / (4 * n_weights))

    def kurtosis_error(self, n_weights: int) -> float:
        """Return the standard error of the kurtosis of n independent weights.

        The variance is 24 / n for a normal distribution, 1152 / 875 n for a uniform one by the delta method, and
        3.9 / n for a truncated one by simulation.
        """
        variance = {NORMAL.name: 24.0, UNIFORM.name: 1152 / 875, TRUNCATED.name: 3.9}[self.shape.name]
        return math.sqrt(variance / n_weights)


def init_distributions(shape: Sequence[int], groups: int = 1) -> tuple[InitDistribution, ...]:
    """Return the usual initial distributions of a convolution's weight, some of which may coincide.

    fan_in = in_channels/groups * taps and fan_out = out_channels * taps, as torch counts them; timm divides fan_out by
    the groups, and Keras counts the channels of a depthwise convolution as its input. Variances: 2 / fan (He et al.
    2015), 2 / (fan_in + fan_out) (Glorot and Bengio 2010), 1 / fan_in (LeCun et al. 1998), 1 / (3 fan_in) (torch's
    default, Kaiming uniform with a = sqrt(5)). Keras, TensorFlow, flax and haiku draw normal weights truncated at two
    standard deviations, and enlarge them to the full variance, except where a fixed deviation is given.

    Args:
        shape: [out_channels, in_channels/groups, *kernel_size].
        groups: Groups of the convolution.
    """
    return tuple(_distributions(shape, groups))


def _distributions(shape: Sequence[int], groups: int) -> Iterator[InitDistribution]:
    taps = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * taps, shape[0] * taps
    yield InitDistribution(name="torch default", std=math.sqrt(1 / (3 * fan_in)), shape=UNIFORM)
    fans = {"fan in": fan_in, "fan out": fan_out, "fan out over groups": fan_out / groups}
    for name, fan in fans.items():
        yield InitDistribution(name=f"he normal, {name}", std=math.sqrt(2 / fan), shape=NORMAL)
        yield InitDistribution(name=f"he uniform, {name}", std=math.sqrt(2 / fan), shape=UNIFORM)
        yield InitDistribution(name=f"he truncated, {name}", std=math.sqrt(2 / fan), shape=TRUNCATED)
    is_depthwise = groups > 1 and shape[1] == 1
    keras_sum = (groups + shape[0] // groups) * taps if is_depthwise else fan_in + fan_out
    for name, fan_sum in (("glorot", fan_in + fan_out), ("keras glorot", keras_sum)):
        for law in (UNIFORM, NORMAL, TRUNCATED):
            yield InitDistribution(name=f"{name} {law.name}", std=math.sqrt(2 / fan_sum), shape=law)
    for law in (TRUNCATED, NORMAL, UNIFORM):
        yield InitDistribution(name=f"lecun {law.name}", std=math.sqrt(1 / fan_in), shape=law)
    for std in (0.001, 0.01, 0.02):
        yield InitDistribution(name=f"normal {std:g}", std=std, shape=NORMAL)
        yield InitDistribution(name=f"truncated normal {std:g}", std=std * TRUNCATED_STD, shape=TRUNCATED)
    yield InitDistribution(name="orthogonal", std=1 / math.sqrt(max(shape[0], fan_in)), shape=NORMAL, orthogonal=True)
