"""Planes of the first two coefficients, of all kernels and of groups; and which groups figures show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.components.sampled_coefficients import (
    CELLS,
    GROUP_CELLS,
    SampledCoefficients,
    coefficient_plane,
    weighted_median,
)
from filtercrawl_analysis.statistics.groups.group_medians import ALL
from filtercrawl_analysis.statistics.groups.labels import group_labels, is_ordered, ordered_labels

# Groups in a figure: as many as can be told apart by color, or more where colors follow an order.
MAX_GROUPS: Final = 7
MAX_ORDERED_GROUPS: Final = 12


@dataclass(frozen=True, kw_only=True)
class CoefficientPlane:
    """The histogram of the first two coefficients of a group.

    Attributes:
        column: The column; `all` for all kernels.
        group: The group; `all` for all kernels.
        counts: Kernels of each cell [cells, cells].
        median: Median of both coefficients.
    """

    column: str
    group: str
    counts: Array
    median: tuple[float, float]


def shown_groups(layers: pa.Table, column: str) -> list[str]:
    """Return the groups of a column that figures show: those with the most kernels, in the order of tables."""
    kernels = np.array(layers["n_kernels"].to_pylist(), np.int64)
    groups = group_labels(layers, column)
    order = ordered_labels(groups, kernels)
    limit = MAX_ORDERED_GROUPS if is_ordered(order) else MAX_GROUPS
    totals = dict.fromkeys(order, 0)
    for group, count in zip(groups, kernels.tolist(), strict=True):
        if group is not None:
            totals[group] += count
    largest = set(sorted(order, key=lambda group: -totals[group])[:limit])
    return [group for group in order if group in largest]


def overall_plane(samples: SampledCoefficients) -> CoefficientPlane:
    """Return the plane of all kernels."""
    return _plane(ALL, ALL, samples, np.arange(len(samples.layer)), CELLS)


def group_planes(column: str, layers: pa.Table, samples: SampledCoefficients) -> Iterator[CoefficientPlane]:
    """Yield the planes of the groups of a column that have samples; none for fewer than two groups."""
    order = shown_groups(layers, column)
    if len(order) < 2:
        return
    labels = group_labels(layers, column)
    for group in order:
        members = samples.of_layers([label == group for label in labels])
        if len(members):
            yield _plane(column, group, samples, members, GROUP_CELLS)


def _plane(
    column: str,
    group: str,
    samples: SampledCoefficients,
    members: NDArray[np.int64],
    cells: int,
) -> CoefficientPlane:
    counts, _ = coefficient_plane(samples, members, cells)
    middle = (np.nan, np.nan)
    if len(members):
        first, second = (weighted_median(samples.coefficients[members, i], samples.weight[members]) for i in (0, 1))
        middle = (first, second)
    return CoefficientPlane(column=column, group=group, counts=counts, median=middle)
