"""Histograms of coefficients by model and group, and the strata in which two groups are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.drift.divergence import probabilities

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ModelGroupHistograms:
    """Histograms of coefficients by model and group. A cell is what one model has in one group.

    Attributes:
        group: Group of each cell, int64 [cells].
        model: Model of each cell, int64 [cells].
        counts: Histograms [cells, components, bins].
        bin_width: Width of a bin.
        weights: Weight of each component in the drift [components].
        n_groups: Number of groups.
    """

    group: Indices
    model: Indices
    counts: Array
    bin_width: float
    weights: Array
    n_groups: int

    def cells_of(self, group: int) -> Indices:
        """Return the indices of a group's cells, one per model."""
        return np.flatnonzero(self.group == group)

    @cached_property
    def kernels(self) -> Indices:
        """Number of kernels of each cell, int64 [cells]."""
        kernels: Indices = self.counts.sum(-1).min(-1).astype(np.int64)
        kernels.flags.writeable = False  # shared by all pairs of groups
        return kernels

    @cached_property
    def shares(self) -> Array:
        """Share of each bin in its histogram, float64 [cells, components, bins]."""
        shares: Array = self.counts / self.counts.sum(-1, keepdims=True)
        shares.flags.writeable = False
        return shares


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """The cells of two groups that are compared with one another, for example those of one architecture.

    Attributes:
        first: Cells of the first group.
        second: Cells of the second group.
    """

    first: Indices
    second: Indices


def group_distributions(cells: ModelGroupHistograms) -> Array:
    """Return the probabilities of each group, [groups, components, bins]; NaN where a group has no kernel."""
    counts = np.zeros((cells.n_groups, *cells.counts.shape[1:]))
    np.add.at(counts, cells.group, cells.counts)
    return probabilities(counts, cells.bin_width)


def single_stratum(cells: ModelGroupHistograms, a: int, b: int) -> tuple[Stratum, ...]:
    """Return all cells of two groups as one stratum."""
    return (Stratum(first=cells.cells_of(a), second=cells.cells_of(b)),)


def common_strata(cells: ModelGroupHistograms, stratum: Indices, a: int, b: int) -> tuple[Stratum, ...]:
    """Return the strata that two groups have in common.

    Args:
        cells: Histograms by model and group.
        stratum: Stratum of each cell, -1 where it is unknown.
        a: The first group.
        b: The second group.
    """
    first, second = cells.cells_of(a), cells.cells_of(b)
    common = np.intersect1d(stratum[first], stratum[second])
    return tuple(
        Stratum(first=first[stratum[first] == s], second=second[stratum[second] == s]) for s in common if s >= 0
    )


def pooled_distribution(cells: ModelGroupHistograms, side: Sequence[Indices]) -> Array:
    """Return the mean over strata of the distribution of the pooled kernels of a side, [components, bins].

    Args:
        cells: Histograms by model and group.
        side: The cells of the side in each stratum.
    """
    counts = np.stack([cells.counts[members].sum(0) for members in side])
    return probabilities((counts / counts.sum(-1, keepdims=True)).sum(0), cells.bin_width)
