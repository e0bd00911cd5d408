"""The peak below which a kernel or a filter is dead: relative to live ones, so that few outliers make no other dead."""

from __future__ import annotations

from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array

# The fewest that hold this share of the energy are live; one is dead if its peak is below this part of their median.
_LIVE_ENERGY: Final = 0.99
_DEAD_PEAK: Final = 0.01


def dead_peak(peaks: Array, energies: Array, counts: Array) -> float:
    """Return a hundredth of the median peak of the live ones, the fewest that hold 99 % of the energy.

    Args:
        peaks: Largest magnitude of each [n].
        energies: Sum of squares of each, times its count [n].
        counts: How many each stands for [n].
    """
    order = np.argsort(-energies / np.maximum(counts, 1e-300), kind="stable")
    held = np.cumsum(energies[order])
    live = order[: int(np.searchsorted(held, _LIVE_ENERGY * held[-1])) + 1]
    by_peak = live[np.argsort(peaks[live], kind="stable")]
    middle = int(np.searchsorted(np.cumsum(counts[by_peak]), counts[by_peak].sum() / 2))
    return float(peaks[by_peak[middle]]) * _DEAD_PEAK
