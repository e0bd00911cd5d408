"""The power law that fits the largest of some numbers best: exponent, start of the tail, and quality of the fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array

# With fewer numbers, the bias of alpha is corrected, and tails have at least so many.
_FEW: Final = 20
_MIN_TAIL: Final = 8
# Points of a tail at which a lower bound of its distance is computed.
_PROBES: Final = 32


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """The density proportional to x^-alpha from `xmin` on.

    Attributes:
        alpha: The exponent.
        error: Its standard error, (alpha - 1) / sqrt(tail).
        distance: Distance of Kolmogorov and Smirnov between the tail and the law.
        xmin: Where the tail starts.
        tail: Numbers in it.
    """

    alpha: float
    error: float
    distance: float
    xmin: float
    tail: int


def fit_power_law(numbers: Array) -> PowerLaw | None:
    """Fit a power law to the tail of some numbers (Clauset, Shalizi and Newman 2009, arXiv 0706.1062).

    Each number but the largest is tried as `xmin`, with alpha of the largest likelihood, 1 + n / sum log(x / xmin); the
    one with the smallest distance is taken. Below 20 numbers, as WeightWatcher 0.7.7 does, alpha is without its bias,
    with n - 1 in place of n, and tails have eight numbers or more.

    Args:
        numbers: Positive numbers in ascending order.

    Returns:
        The fit; None below eight numbers, or where no tail can be fitted.
    """
    total = len(numbers)
    if total < _MIN_TAIL:
        return None
    logs = np.log(numbers)
    sizes = np.arange(total, 1, -1, dtype=np.float64)  # of the tail from each number on
    excess = np.cumsum(logs[::-1])[::-1][:-1] - sizes * logs[:-1]
    few = total < _FEW
    usable = excess > 1e-12 * np.maximum(1.0, np.abs(logs[:-1]) * sizes)
    if few:
        usable &= sizes >= _MIN_TAIL
    with np.errstate(divide="ignore", invalid="ignore"):
        alphas = np.where(usable, 1 + (sizes - few) / excess, np.nan)
    best, distance = _best_start(logs, alphas)
    if best is None:
        return None
    alpha = float(alphas[best])
    tail = int(np.count_nonzero(numbers >= numbers[best]))
    return PowerLaw(
        alpha=alpha,
        error=(alpha - 1) / math.sqrt(sizes[best]),
        distance=distance,
        xmin=float(numbers[best]),
        tail=tail,
    )


def _best_start(logs: Array, alphas: Array) -> tuple[int | None, float]:
    """Return the start of the tail with the least distance, the first of equals, and the distance.

    A lower bound of the distance, at a few points of each tail, spares most of the tails.
    """
    usable = np.flatnonzero(np.isfinite(alphas))
    bounds = np.empty(len(usable))
    steps = np.linspace(0, 1, _PROBES)
    for block in np.array_split(np.arange(len(usable)), max(1, len(usable) // 4096)):
        start = usable[block]
        length = len(logs) - start
        at = np.rint(steps * (length[:, None] - 1)).astype(np.int64)
        law = -np.expm1((1 - alphas[start])[:, None] * (logs[start[:, None] + at] - logs[start][:, None]))
        bounds[block] = np.abs(law - at / length[:, None]).max(1)
    best, least = None, math.inf
    for rank in np.argsort(bounds, kind="stable"):
        if bounds[rank] > least:
            break
        start_at = int(usable[rank])
        distance = _distance(logs[start_at:], alphas[start_at])
        if distance < least or (distance == least and best is not None and start_at < best):
            best, least = start_at, distance
    return best, least


def _distance(logs: Array, alpha: float) -> float:
    law = -np.expm1((1 - alpha) * (logs - logs[0]))
    return float(np.abs(law - np.arange(len(logs)) / len(logs)).max())
