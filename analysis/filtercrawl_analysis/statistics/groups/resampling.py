"""Random numbers that depend on their purpose alone, and p-values of many tests."""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array

# Significance level: intervals cover 95 %.
LEVEL: Final = 0.05


def random_generator(seed: int, *names: str) -> np.random.Generator:
    """Return a random generator that depends on the seed and its purpose alone, not on what was drawn before."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def adjust_p_values(p_values: Array) -> Array:
    """Return p-values adjusted for multiple testing (Benjamini and Hochberg 1995), in the same order.

    Rejecting where the adjusted value is at most q keeps the false discovery rate at q. NaN stays NaN and does not
    count as a test.
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    ranks = np.arange(1, len(order) + 1)
    scaled = p_values[order] * len(order) / ranks
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
