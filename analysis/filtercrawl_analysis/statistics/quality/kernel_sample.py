"""What the sampled kernels of a layer tell: dead kernels, outliers and copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy import stats

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.quality.dead_peak import dead_peak
from filtercrawl_analysis.statistics.quality.outlier_bounds import LayerTotals, outlier_bound

# Live kernels that a share of distinct kernels, and one of near copies, needs.
_MIN_DISTINCT: Final = 4
_MIN_NEAR: Final = 16
# Kernels are equal if they agree, scaled, to one part in so many; near copies if one differs from a multiple of the
# other by at most this share of its norm, the smaller one if that holds for most.
_RESOLUTION: Final = 256
NEAR: Final = (0.05, 0.2)
MANY_NEAR: Final = 0.9
# Layers simulated for the share of near copies among independent kernels.
_DRAWS: Final = 20
_CONFIDENCE: Final = 0.95


@dataclass(frozen=True, kw_only=True)
class KernelSampleStats:
    """Shares of a layer's kernels and of its energy; None where there are too few kernels to tell.

    Attributes:
        dead_share: Share of kernels whose peak is below a hundredth of the median peak of live ones. Live are the
            fewest kernels that hold 99 % of the energy, so a few outliers make no other kernel dead.
        dead_low: Lower end of its 95 % interval (Clopper and Pearson 1934); `dead_share` itself where all are known.
        dead_high: Upper end.
        outlier_share_low: Share of the energy that the largest kernels, at most one in 20, at least hold, see
            `outlier_bound`.
        outlier_kernels: How many these are at most.
        distinct_share: Share of live kernels that differ by more than scale and sign.
        one_kernel_share: Mean share of the energy of live kernels along one direction.
        near_copy_share: Share of live kernels that another one equals, but for scale, sign and 5 % of the norm, or, if
            that is less than `MANY_NEAR`, 20 %.
        near_copy_null: The same among independent kernels whose second moments are those of the live ones; None where
            `near_copy_share` is below `MANY_NEAR`.
    """

    dead_share: float
    dead_low: float
    dead_high: float
    outlier_share_low: float | None
    outlier_kernels: int | None
    distinct_share: float | None
    one_kernel_share: float | None
    near_copy_share: float | None
    near_copy_null: float | None


def kernel_sample_stats(kernels: Array, totals: LayerTotals, seed: Sequence[int]) -> KernelSampleStats:
    """Compute the shares from sampled kernels and the totals of the layer.

    Args:
        kernels: Finite kernels [k, taps], all of the layer or a random sample.
        totals: Of the layer they are from, whose energy is positive.
        seed: Seed of the simulated independent kernels.
    """
    is_dead = _is_dead(kernels, totals)
    low, high = _share_interval(is_dead, totals.n_kernels)
    live = kernels[~is_dead & kernels.any(1)]
    unit = live / np.linalg.norm(live, axis=1, keepdims=True)
    distinct = _distinct_share(live) if len(live) >= _MIN_DISTINCT else None
    outliers = outlier_bound(kernels, totals)
    near, near_null = _near_copies(unit, seed) if len(live) >= _MIN_NEAR else (None, None)
    return KernelSampleStats(
        dead_share=float(is_dead.mean()),
        dead_low=low,
        dead_high=high,
        outlier_share_low=outliers.share if outliers else None,
        outlier_kernels=outliers.kernels if outliers else None,
        distinct_share=distinct,
        one_kernel_share=float(np.linalg.eigvalsh(_smaller_gram(unit))[-1]) / len(unit) if near is not None else None,
        near_copy_share=near,
        near_copy_null=near_null,
    )


def _is_dead(kernels: Array, totals: LayerTotals) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which sampled kernels are dead [k].

    Energy that the sample cannot account for lies in kernels that were not sampled; it counts as kernels with a peak
    of the largest magnitude.
    """
    taps = kernels.shape[1]
    peaks = np.abs(kernels).max(1)
    each = totals.n_kernels / len(kernels)
    energies = (kernels**2).sum(1) * each
    missing = max(0.0, totals.energy - energies.sum()) if each > 1 else 0.0
    n_missing = max(1.0, missing / (taps * totals.max_abs**2)) if missing else 0.0
    energies = np.append(energies, missing)
    counts = np.append(np.full(len(kernels), each), n_missing)
    with_missing = np.append(peaks, totals.max_abs)
    below: np.ndarray[tuple[int], np.dtype[np.bool_]] = peaks < dead_peak(with_missing, energies, counts)
    return below


def _share_interval(found: np.ndarray[tuple[int], np.dtype[np.bool_]], n_kernels: int) -> tuple[float, float]:
    if len(found) >= n_kernels:
        return float(found.mean()), float(found.mean())
    return _binomial_interval(int(found.sum()), len(found))


@lru_cache(maxsize=4096)
def _binomial_interval(successes: int, trials: int) -> tuple[float, float]:
    interval = stats.binomtest(successes, trials).proportion_ci(_CONFIDENCE, "exact")
    return float(interval.low), float(interval.high)


def _distinct_share(live: Array) -> float:
    largest = np.take_along_axis(live, np.abs(live).argmax(1)[:, None], 1)
    return len(np.unique(np.round(live / largest * _RESOLUTION), axis=0)) / len(live)


def _smaller_gram(unit: Array) -> Array:
    gram: Array = unit @ unit.T if len(unit) < unit.shape[1] else unit.T @ unit
    return gram


def _residuals(unit: Array) -> Array:
    """Return the norm of each unit kernel less its projection on the nearest other [k]."""
    cosines = np.abs(unit @ unit.T)
    np.fill_diagonal(cosines, 0)
    residuals: Array = np.sqrt(np.maximum(0, 1 - cosines.max(1) ** 2))
    return residuals


def _near_copies(unit: Array, seed: Sequence[int]) -> tuple[float, float | None]:
    """Return the share of near copies among unit kernels [k, taps], and that among independent ones."""
    residuals = _residuals(unit)
    share, level = 0.0, 0.0
    for level in NEAR:
        share = float((residuals <= level).mean())
        if share >= MANY_NEAR:
            break
    else:
        return share, None
    # Normal mixtures of the kernels themselves have their second moments.
    drawn = np.random.default_rng(seed).standard_normal((_DRAWS, len(unit), len(unit))) @ unit
    drawn /= np.linalg.norm(drawn, axis=2, keepdims=True)
    return share, float(np.mean([(_residuals(layer) <= level).mean() for layer in drawn]))
