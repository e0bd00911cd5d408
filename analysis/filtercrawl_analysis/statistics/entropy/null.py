"""The null distribution of variance entropy: layers of independent weights whose distribution has the same kurtosis."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.entropy.simulation import (
    permuted_entropies,
    simulate_covariances,
    weights_of_kurtosis,
)
from filtercrawl_analysis.statistics.entropy.tail import (
    SMALLEST,
    is_far_below,
    p_values_from_draws,
    sampled_p_values,
)

# Draws per distribution: as many as take about a second, within these limits.
MAX_DRAWS: Final = 400
_MIN_DRAWS: Final = 200
_WORK: Final = 100_000_000
# Larger matrices and layers are not simulated: they take many seconds each.
MAX_RANK: Final = 256
_MAX_NUMBERS: Final = 5_000_000
# From so many kernels per tap, and so many kernels per unit of the fourth moment on, covariances are drawn in place of
# weights.
_MANY_PER_TAP: Final = 32
_MANY_PER_FOURTH_MOMENT: Final = 50
# Kurtosis is rounded to such steps, and so are kernels where there are so many per tap: one simulation serves many
# layers. Rounding shifts the distribution of the entropy by about a tenth of its standard deviation at most.
_KURTOSIS_STEP: Final = 2 ** (1 / 8)
_SIZE_STEP: Final = 2 ** (1 / 8)
_ROUNDED_PER_TAP: Final = 16
# An entropy so many standard deviations below the mean, in first order, needs no simulation.
_CLEARLY_BELOW: Final = 12
# Kernels per unit of the fourth moment below which few weights decide the entropy: its distribution is then not known
# from the kurtosis, though p-values are still too large rather than too small.
_SUPPORT: Final = 8
# Taps from which on a p-value of even variances needs more kernels, by the square: the more variances, the smaller are
# their chance differences, and the more it matters what the kurtosis leaves open (docs/calibration.md).
_SUPPORTED_TAPS: Final = 9


class EntropyNull:
    """Null distributions of variance entropy, simulated once for each (kernels, taps, kurtosis) and cached.

    The weights of the null are independent. How their distribution changes that of the entropy depends, in first order,
    on their kurtosis alone, which the power sums of a layer give exactly: the variance of the n-kernel covariance is
    1 / n off the diagonal and (kurtosis + 2) / n on it. So weights of that kurtosis are put in random order, or, for
    many kernels, covariances of that variance are drawn. The test is conditional on the kurtosis, as a permutation test
    is on the weights.

    Kernels of different scales have a kurtosis, too: n kernels of normal weights, each times a factor of its own, have
    in first order the covariance of 3 n / (kurtosis + 3) kernels without. A p-value is the larger of those of both
    nulls, so neither a distribution with heavy tails nor filters of different scales count as structure.
    """

    def __init__(self, seed: int = 0) -> None:
        """Create an empty cache; equal seeds give equal distributions, in whatever order they are asked for."""
        self.seed = seed
        self._simulated = lru_cache(maxsize=512)(self._simulate)

    def sample(self, n_kernels: int, taps: int, kurtosis: float = 0.0, draws: int = MAX_DRAWS) -> Array | None:
        """Return simulated entropies of layers of independent weights in ascending order.

        Args:
            n_kernels: Kernels per layer.
            taps: Weights per kernel.
            kurtosis: Excess kurtosis of the weights.
            draws: The most draws to return.

        Returns:
            Entropies [at most draws]. None for up to two kernels, whose entropy is zero whatever they are, and for
            layers too large to simulate.
        """
        rank = min(taps, n_kernels - 1)
        if not 1 < rank <= MAX_RANK:
            return None
        step = math.ceil(math.log(max(kurtosis + 2, 1e-3)) / math.log(_KURTOSIS_STEP) - 0.25)
        if not covariances_suffice(n_kernels, taps, kurtosis) and n_kernels * taps > _MAX_NUMBERS:
            return None
        if n_kernels < _ROUNDED_PER_TAP * taps:
            return self._simulated(n_kernels, taps, step, draws)
        grid_n = round(_SIZE_STEP ** round(math.log(n_kernels) / math.log(_SIZE_STEP)))
        # The distance of the entropy from its maximum is proportional to 1 / (n - 1), up to terms of order taps / n.
        maximum = math.log10(taps)
        distances = maximum - self._simulated(grid_n, taps, step, draws)
        scaled: Array = maximum - distances * (grid_n - 1) / (n_kernels - 1)
        return scaled

    def _simulate(self, n_kernels: int, taps: int, step: int, draws: int) -> Array:
        random = np.random.default_rng([self.seed, n_kernels, taps, step + 1000])
        kurtosis = _KURTOSIS_STEP**step - 2
        if covariances_suffice(n_kernels, taps, kurtosis, tolerance=2):
            draws = min(draws, max(_MIN_DRAWS, _WORK // taps**3))
            return np.sort(simulate_covariances(n_kernels, taps, kurtosis, draws, random))
        draws = min(draws, max(_MIN_DRAWS, _WORK // (n_kernels * taps * max(1, min(n_kernels, taps) // 4))))
        weights = weights_of_kurtosis(n_kernels * taps, kurtosis)
        return np.sort(permuted_entropies(weights, (n_kernels, taps), draws, random))

    def p_values(
        self, entropy: float | None, n_kernels: int, taps: int, kurtosis: float | None
    ) -> tuple[float | None, float | None]:
        """Return one-sided p-values of an entropy.

        The layer itself counts as a draw, so no p-value is zero. An entropy far below what is expected, as that of most
        trained layers, gets the smallest p-value that all draws could give.

        Args:
            entropy: The variance entropy of a layer.
            n_kernels: Its kernels.
            taps: Weights per kernel.
            kurtosis: Excess kurtosis of its weights.

        Returns:
            The shares of layers of independent weights with at most, and with at least, this entropy; both None where
            it is undefined, the second also where few weights decide it (`tells_evenness`). A small first value
            means that the kernels have structure; a small second one that their variances are more even than those of
            independent weights, as after orthogonal initialization.
        """
        if entropy is None or kurtosis is None or not 1 < min(taps, n_kernels - 1) <= MAX_RANK:
            return None, None
        p_values = self._p_values(entropy, n_kernels, taps, kurtosis)
        effective = effective_kernels(n_kernels, kurtosis)
        if p_values is None or effective == n_kernels:
            return p_values or (None, None)
        scaled = self._p_values(entropy, effective, taps, 0.0) if effective > 2 else (1.0, 1.0)
        if scaled is None:
            return None, None
        even = None if p_values[1] is None or scaled[1] is None else max(p_values[1], scaled[1])
        return max(p_values[0], scaled[0]), even

    def _p_values(
        self, entropy: float, n_kernels: int, taps: int, kurtosis: float
    ) -> tuple[float, float | None] | None:
        if _is_clearly_below(entropy, n_kernels, taps, kurtosis):
            return SMALLEST
        supported = is_supported(n_kernels, kurtosis)
        sample = self.sample(n_kernels, taps, kurtosis)
        if sample is None:
            return None
        if not supported:
            return p_values_from_draws(entropy, sample)[0], None
        if is_far_below(entropy, sample, taps):
            return SMALLEST
        structured, even = sampled_p_values(entropy, sample)
        return structured, even if tells_evenness(n_kernels, taps, kurtosis) else None

    def critical(self, level: float, n_kernels: int, taps: int, kurtosis: float) -> float | None:
        """Return the entropy below which p-values are at most `level`, from the draws of each null."""
        effective = effective_kernels(n_kernels, kurtosis)
        quantiles = [self.quantile(level, n_kernels, taps, kurtosis), self.quantile(level, effective, taps)]
        known = [quantile for quantile in quantiles if quantile is not None]
        return min(known) if len(known) == len(quantiles) else None

    def quantile(self, share: float, n_kernels: int, taps: int, kurtosis: float = 0.0) -> float | None:
        """Return a quantile of the entropy of layers of independent weights."""
        sample = self.sample(n_kernels, taps, kurtosis)
        return None if sample is None else float(np.quantile(sample, share))


def effective_kernels(n_kernels: int, kurtosis: float) -> int:
    """Return how many kernels of one scale have the covariance of n kernels of many scales, see `EntropyNull`."""
    return min(n_kernels, math.floor(3 * n_kernels / (kurtosis + 3)))


def is_supported(n_kernels: int, kurtosis: float) -> bool:
    """Return whether layers of n kernels with this kurtosis have so many large weights that it tells their entropy."""
    return n_kernels >= _SUPPORT * (kurtosis + 3)


def tells_evenness(n_kernels: int, taps: int, kurtosis: float) -> bool:
    """Return whether kurtosis tells how even the variances of independent weights are."""
    return n_kernels >= _SUPPORT * max(taps / _SUPPORTED_TAPS, 1) ** 2 * (kurtosis + 3)


def covariances_suffice(n_kernels: int, taps: int, kurtosis: float, tolerance: float = 1) -> bool:
    """Return whether layers are so large that covariances can be drawn in place of weights."""
    size = n_kernels * tolerance
    return size > _MANY_PER_TAP * taps and size > _MANY_PER_FOURTH_MOMENT * (kurtosis + 3)


def _is_clearly_below(entropy: float, n_kernels: int, taps: int, kurtosis: float) -> bool:
    """Return whether an entropy is far below its expectation, by the variances of the covariance in first order."""
    if n_kernels <= taps or n_kernels < kurtosis + 3:
        return False
    pairs = taps * (taps - 1) / 2
    on_diagonal = max(kurtosis + 2, 0.1)
    mean = on_diagonal * (taps - 1) + 2 * pairs
    std = math.sqrt(2 * on_diagonal**2 * (taps - 1) + 8 * pairs)
    distance = (math.log10(taps) - entropy) * 2 * taps * (n_kernels - 1) * math.log(10)
    return distance > mean + _CLEARLY_BELOW * std
