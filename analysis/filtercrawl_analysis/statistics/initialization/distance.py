"""The distance of a layer's weights from initial distributions, and whether they are close to one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.initialization.distributions import InitDistribution, init_distributions
from filtercrawl_analysis.statistics.quality.weight_moments import WeightMoments

# Largest deviation of an untrained layer's standard deviation and kurtosis from those of its distribution, or in
# standard errors, whichever is more.
STD_TOLERANCE: Final = 0.01
KURTOSIS_TOLERANCE: Final = 0.05
ERRORS: Final = 3.0
# Relative standard error of the standard deviation above which a layer has too few weights to be judged.
LARGEST_ERROR: Final = 0.02
# Standardized sampled weights of an untrained layer differ from quantiles by more than this over the root of their
# number in less than one of a thousand layers.
_SHAPE_ERRORS: Final = 3.5
# Largest magnitude over the bound of a distribution from which on weights lie beyond it; rounding to 16 bits changes
# them by less.
BEYOND: Final = 1.005
# Largest departure from 1 of the orthogonality of orthogonal filters in float32.
_ORTHOGONAL: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """What is known of the weights of a layer.

    Attributes:
        shape: [out_channels, in_channels/groups, *kernel_size].
        groups: Groups of the convolution.
        moments: Moments of all finite weights.
        sampled: Sampled finite weights; empty where none are known.
        orthogonality: Of the filters, 1 where all are orthogonal.
        looks_random: Whether the kernels cannot be told from independent weights; None where they are too few.
    """

    shape: Sequence[int]
    groups: int
    moments: WeightMoments
    sampled: Array
    orthogonality: float | None
    looks_random: bool | None


@dataclass(frozen=True, kw_only=True)
class InitDistance:
    """The distance of a layer from one initial distribution.

    Attributes:
        law: The distribution.
        std_ratio: Standard deviation of the weights over that of the distribution.
        std_error: Relative standard error of the former, were the weights drawn from the distribution.
        shape_distance: Mean absolute difference of the quantiles of standardized weights (1-Wasserstein distance); None
            without sampled weights.
        consistent: Whether standard deviation, kurtosis, quantiles and orthogonality may be those of the distribution.
        bound_ratio: The largest magnitude over the largest that the distribution has; None if it has none.
    """

    law: InitDistribution
    std_ratio: float
    std_error: float
    shape_distance: float | None
    consistent: bool
    bound_ratio: float | None

    @property
    def total(self) -> float:
        """The sum of |log std_ratio| and shape_distance."""
        return abs(math.log(self.std_ratio)) + (self.shape_distance or 0.0)

    @property
    def beyond_bound(self) -> bool:
        """Whether some weights are larger than any that the distribution has."""
        return self.bound_ratio is not None and self.bound_ratio > BEYOND


def init_distances(layer: LayerWeights) -> list[InitDistance]:
    """Return the distances of a layer from all initial distributions, the nearest first.

    Orthogonal initialization comes first if the filters are orthogonal, whatever their scale, and is left out if not.
    """
    standardized = np.sort(layer.sampled) / layer.moments.std
    orthogonal = layer.orthogonality is not None and abs(1 - layer.orthogonality) <= _ORTHOGONAL and layer.shape[0] > 1
    distances = [
        _distance(layer.moments, standardized, law)
        for law in init_distributions(layer.shape, layer.groups)
        if orthogonal or not law.orthogonal
    ]
    return sorted(distances, key=lambda distance: (not distance.law.orthogonal, distance.total))


def is_close(layer: LayerWeights, distance: InitDistance) -> bool | None:
    """Return whether a layer is close to a distribution; None where it has too few weights to tell.

    It must be consistent with the distribution, and its kernels not told from independent weights. It may be a draw
    from the distribution if also no weights lie beyond the bound of that.
    """
    if distance.std_error > LARGEST_ERROR or layer.looks_random is None:
        return None
    return distance.consistent and layer.looks_random


def _distance(moments: WeightMoments, standardized: Array, law: InitDistribution) -> InitDistance:
    std_error = law.std_error(moments.n)
    ratio = moments.std / law.std
    count = len(standardized)
    shape = float(np.abs(standardized - law.shape.quantiles(count)).mean()) if count else None
    tolerance = max(STD_TOLERANCE, ERRORS * std_error)
    kurtosis_tolerance = max(KURTOSIS_TOLERANCE, ERRORS * law.kurtosis_error(moments.n))
    consistent = (
        (law.orthogonal or abs(math.log(ratio)) <= tolerance)
        and abs(moments.mean) <= max(STD_TOLERANCE, (ERRORS + 1) / math.sqrt(moments.n)) * moments.std
        and (law.orthogonal or abs(moments.kurtosis - law.shape.kurtosis) <= kurtosis_tolerance)
        and (shape is None or shape <= _SHAPE_ERRORS / math.sqrt(count))
    )
    bound = law.shape.bound
    return InitDistance(
        law=law,
        std_ratio=ratio,
        std_error=std_error,
        shape_distance=shape,
        consistent=consistent,
        bound_ratio=None if bound is None or law.orthogonal else moments.max_abs / (law.std * bound),
    )
