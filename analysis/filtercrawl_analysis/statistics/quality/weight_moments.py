"""Moments of the weights of a layer, from their power sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


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
