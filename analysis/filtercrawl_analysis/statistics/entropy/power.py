"""The power of the entropy test: whether a layer has enough kernels to tell structure from independent weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.entropy.null import EntropyNull
from filtercrawl_analysis.statistics.entropy.simulation import variance_entropies, weights_of_kurtosis

# Correlation of neighboring taps in the reference alternative. It gives 3x3 kernels shares of the variance of .38, .15,
# .15, .08, .08, .06, .03, .03 and .02; those of all kernels of CNN Filter DB (arXiv 2203.15331) are .40, .18, .12, .10,
# .07, .06, .03, .03 and .02.
CORRELATION: Final = 0.5
LEVEL: Final = 0.05
_DRAWS: Final = 200
# Steps to which kernels (down) and kurtosis (up) are rounded, so that one simulation serves many layers.
_SIZE_STEP: Final = 2**0.25
_KURTOSIS_STEP: Final = 2**0.5
_EXACT_SIZES: Final = 16
# Layers of so many kernels, also in proportion to the fourth moment, have full power.
_MANY_KERNELS: Final = 64
_MANY_PER_FOURTH_MOMENT: Final = 16
# Larger kernels need fewer of them for the same power; theirs is that of a part of so many taps.
_MAX_TAPS: Final = 64


def correlated_root(kernel_size: Sequence[int], correlation: float = CORRELATION) -> Array:
    """Return a root of the covariance correlation^distance of taps, the product over axes, [taps, taps]."""
    root: Array = np.ones((1, 1))
    for size in kernel_size:
        taps = np.arange(size)
        covariance = correlation ** np.abs(taps[:, None] - taps[None])
        root = np.kron(root, np.linalg.cholesky(covariance)).astype(np.float64)
    return root


def correlated_kernels(shape: tuple[int, int], root: Array, kurtosis: float, random: np.random.Generator) -> Array:
    """Draw layers whose taps correlate, from independent weights.

    Args:
        shape: Layers, and kernels per layer.
        root: A root of the covariance of taps, see `correlated_root`.
        kurtosis: Excess kurtosis of the correlated weights, on average over the taps.
        random: Source of random numbers.

    Returns:
        Kernels [layers, kernels, taps].
    """
    # The kurtosis of a sum of independent numbers is less than theirs.
    remaining = float(((root**4).sum(1) / (root**2).sum(1) ** 2).mean())
    weights = weights_of_kurtosis(shape[1] * len(root), kurtosis / remaining)
    drawn = random.permuted(np.tile(weights, (shape[0], 1)), axis=1).reshape(*shape, len(root))
    kernels: Array = drawn @ root.T
    return kernels


class EntropyPower:
    """Share of trained-like layers whose entropy is rejected at 0.05, simulated and cached."""

    def __init__(self, null: EntropyNull, seed: int = 0) -> None:
        """Create an empty cache.

        Args:
            null: Null distributions.
            seed: Equal seeds give equal shares.
        """
        self._null = null
        self._seed = seed
        self._simulated = lru_cache(maxsize=None)(self._simulate)

    def power(self, n_kernels: int, kernel_size: Sequence[int], kurtosis: float, *, permuted: bool) -> float:
        """Return the power for layers of n kernels whose neighboring taps correlate by 0.5.

        Args:
            n_kernels: Kernels of the layer.
            kernel_size: Size of its kernels.
            kurtosis: Excess kurtosis of its weights.
            permuted: Whether the test permutes its weights. That shows whether the kurtosis is one of weights or of
                kernels; it is taken to be of weights here.
        """
        if n_kernels <= 2 or math.prod(kernel_size) < 2:
            return 0.0
        step = math.ceil(math.log(max(kurtosis + 3, 1) / 3) / math.log(_KURTOSIS_STEP) - 0.1)
        fourth_moment = 3 * _KURTOSIS_STEP**step
        if n_kernels >= max(_MANY_KERNELS, _MANY_PER_FOURTH_MOMENT * fourth_moment):
            return 1.0
        if n_kernels > _EXACT_SIZES:
            n_kernels = math.floor(_SIZE_STEP ** math.floor(math.log(n_kernels + 0.5) / math.log(_SIZE_STEP)))
        size = list(kernel_size)
        while math.prod(size) > _MAX_TAPS:
            size[size.index(max(size))] -= 1
        return self._simulated(n_kernels, tuple(size), fourth_moment - 3, permuted)

    def _simulate(self, n_kernels: int, kernel_size: tuple[int, ...], kurtosis: float, permuted: bool) -> float:
        critical_value = self._null.quantile if permuted else self._null.critical
        critical = critical_value(LEVEL, n_kernels, math.prod(kernel_size), kurtosis)
        if critical is None:
            return 0.0
        random = np.random.default_rng([self._seed, n_kernels, *kernel_size, round(100 * kurtosis) + 300])
        root = correlated_root(kernel_size)
        drawn = variance_entropies(correlated_kernels((_DRAWS, n_kernels), root, kurtosis, random))
        return float((drawn <= critical).mean())
