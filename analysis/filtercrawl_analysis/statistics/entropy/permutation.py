"""The permutation test of variance entropy, for layers of which all kernels are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.entropy.simulation import (
    kernelwise_permuted_entropies,
    permuted_entropies,
    variance_entropies,
)
from filtercrawl_analysis.statistics.entropy.tail import (
    ENOUGH,
    ROUNDING,
    SMALLEST,
    is_far_below,
    p_values_from_draws,
    sampled_p_values,
)

# A permutation test draws so many layers at a time. Where few weights decide the entropy, that is often lowered by rare
# coincidences: it takes more draws to see them, and no smooth distribution has them.
_BLOCKS: Final = (100, 300)
_BLOCKS_OF_FEW_WEIGHTS: Final = (100, 300, 1600, 8000)
_LEAST_OF_FEW_WEIGHTS: Final = 2000
# Number of weights of one size that have the kurtosis of a layer, (sum w^2)^2 / sum w^4, from which on many decide.
_MANY_WEIGHTS: Final = 16


def permutation_p_values(kernels: Array, seed: Sequence[int]) -> tuple[float | None, float | None]:
    """Return the p-values of a layer's entropy among layers that hold its weights in random order.

    The order is random in the layer, and in another test in each kernel, with random signs, which keeps the scales of
    kernels; a p-value is the larger of both. The first test is exact for independent weights of any distribution,
    whatever their number, the second for weights whose distribution is symmetric and differs between kernels, as long
    as p-values are shares of draws; small ones come from a distribution that is fitted to the draws.

    Args:
        kernels: All kernels of the layer [n, taps].
        seed: Seed of the random order.

    Returns:
        As of `EntropyNull.p_values`; both None for up to two kernels and where all weights are equal.
    """
    n_kernels, taps = kernels.shape
    if min(taps, n_kernels - 1) < 2 or np.ptp(kernels) == 0:
        return None, None
    random = np.random.default_rng(seed)
    entropy = float(variance_entropies(kernels[None])[0])

    def in_layer(draws: int) -> Array:
        return permuted_entropies(kernels.ravel(), (n_kernels, taps), draws, random)

    def in_kernels(draws: int) -> Array:
        return kernelwise_permuted_entropies(kernels, draws, random)

    weights = kernels - kernels.mean()
    kurtosis = float((weights**4).mean() / (weights**2).mean() ** 2 - 3)
    few = kernels.size < _MANY_WEIGHTS * (kurtosis + 3)
    found = [_sequential_p_values(entropy, taps, draw, few_weights=few) for draw in (in_layer, in_kernels)]
    return max(structured for structured, _ in found), max(even for _, even in found)


def _sequential_p_values(
    entropy: float, taps: int, draw: Callable[[int], Array], *, few_weights: bool
) -> tuple[float, float]:
    """Return p-values from as many draws as decide (Besag and Clifford 1991).

    Drawing ends where at least 20 are at most the entropy, or where it is far below all. Else the p-value is that of a
    fit to 400 draws, or, where few weights decide, the share of 10,000.
    """
    drawn, least = np.empty(0), _LEAST_OF_FEW_WEIGHTS if few_weights else 0
    for block in _BLOCKS_OF_FEW_WEIGHTS if few_weights else _BLOCKS:
        drawn = np.concatenate([drawn, draw(block)])
        if (drawn <= entropy + ROUNDING).sum() >= ENOUGH:
            return p_values_from_draws(entropy, drawn)
        if len(drawn) >= least and is_far_below(entropy, drawn, taps):
            return SMALLEST
    return p_values_from_draws(entropy, drawn) if few_weights else sampled_p_values(entropy, drawn)
