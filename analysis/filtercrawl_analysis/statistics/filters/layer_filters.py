"""The filters of one layer: norms, energy, the nearest twin, and which are dead or copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.numerics.twins import nearest_twins
from filtercrawl_analysis.statistics.quality.dead_peak import dead_peak
from filtercrawl_analysis.statistics.quality.kernel_sample import NEAR

# A filter is a copy if it differs from a multiple of its twin by at most this share of its norm.
COPY_RESIDUAL: Final = NEAR[0]
COPY_COSINE: Final = float(np.sqrt(1 - COPY_RESIDUAL**2))
# A random layer is drawn to see how many copies are expected, if it has at most so many filters.
_MAX_SIMULATED: Final = 4096

Booleans = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class LayerFilters:
    """The filters of a layer; those with NaN or infinities have NaN, and are neither dead nor copies.

    Attributes:
        norm_l1: Sum of magnitudes of each, float64 [out].
        norm_l2: Root of the sum of squares, float64 [out].
        norm_linf: Largest magnitude, float64 [out].
        energy_share: Share of the sum of squares of all finite filters, float64 [out]; NaN for a layer of zeros.
        twin: Index of the other filter with the largest magnitude of the cosine, int64 [out]; -1 where there is none.
        twin_cosine: The cosine with it, with its sign, float64 [out]; NaN where there is none.
        finite: Whether all weights are finite [out].
        dead: Whether the largest magnitude is below a hundredth of the median one of the live filters, the fewest that
            hold 99 % of the energy [out].
        copy: Whether it is not dead, and differs from a multiple of its twin by at most 5 % of its norm [out].
    """

    norm_l1: Array
    norm_l2: Array
    norm_linf: Array
    energy_share: Array
    twin: NDArray[np.int64]
    twin_cosine: Array
    finite: Booleans
    dead: Booleans
    copy: Booleans

    def __len__(self) -> int:
        return len(self.twin)


def layer_filters(weight: ArrayLike, device: str = "cpu") -> LayerFilters:
    """Measure each filter of a layer, in float64.

    With groups, filters of different groups see different channels; they are compared all the same, by their weights.

    Args:
        weight: `[out, in / groups, *kernel_size]`.
        device: Torch device of the products of all pairs.
    """
    filters = np.asarray(weight, np.float64)
    filters = filters.reshape(len(filters), -1)
    finite: Booleans = np.logical_and.reduce(np.isfinite(filters), axis=1)
    known = np.where(finite[:, None], filters, 0.0)
    magnitudes = np.abs(known)
    peaks = magnitudes.max(1, initial=0.0)
    # Scaled by the largest magnitude, so that no square overflows or vanishes.
    scale = float(peaks.max(initial=0.0)) or 1.0
    energies = np.square(known / scale).sum(1)
    total = float(energies.sum())
    twins = nearest_twins(known, device)
    dead = peaks < dead_peak(peaks[finite], energies[finite], np.ones(int(finite.sum()))) if total else finite.copy()
    dead &= finite
    numbers = {
        "norm_l1": magnitudes.sum(1),
        "norm_l2": np.sqrt(energies) * scale,
        "norm_linf": peaks,
        "energy_share": energies / total if total else np.full(len(filters), np.nan),
    }
    return LayerFilters(
        **{name: np.where(finite, values, np.nan) for name, values in numbers.items()},
        twin=twins.index,
        twin_cosine=twins.cosine,
        finite=finite,
        dead=dead,
        copy=_are_copies(twins.cosine) & ~dead,
    )


def copies_of_independent(weight: ArrayLike, measured: LayerFilters, random: np.random.Generator) -> float | None:
    """Return the share of copies among as many independent normal filters with the second moments of the live ones.

    Args:
        weight: `[out, in / groups, *kernel_size]`.
        measured: Its filters.
        random: Source of random numbers.

    Returns:
        The share of one random layer; None for a layer of too many filters.
    """
    live = measured.finite & ~measured.dead
    count = int(live.sum())
    if count > _MAX_SIMULATED:
        return None
    filters = np.asarray(weight, np.float64).reshape(len(measured), -1)[live] / measured.norm_l2[live, None]
    # Normal mixtures of the filters themselves have their second moments.
    drawn = random.standard_normal((count, count)) @ filters
    return float(_are_copies(nearest_twins(drawn).cosine).mean()) if count else 0.0


def _are_copies(cosine: Array) -> Booleans:
    with np.errstate(invalid="ignore"):
        copies: Booleans = np.abs(cosine) >= COPY_COSINE
    return copies
