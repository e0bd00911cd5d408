"""Uncertainty of drifts: bootstrap intervals over models, permutation nulls, and adjusted p-values."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.divergence import paired_drift, pairwise_drift, probabilities

Indices = NDArray[np.int64]

# Significance level: intervals cover 95 %.
LEVEL: Final = 0.05
# Resamples evaluated together: bounds memory, whatever the number of resamples.
BLOCK: Final = 64


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

    @property
    def models_span_groups(self) -> bool:
        """Whether a model has layers in more than one group, as with depth; it is then drawn with all of them."""
        return len(self.group) > len(np.unique(self.model))

    def cells_of(self, group: int) -> Indices:
        """Return the indices of a group's cells, one per model."""
        return np.flatnonzero(self.group == group)

    def n_models(self, group: int) -> int:
        """Return the number of models with layers in a group."""
        return len(self.cells_of(group))


@dataclass(frozen=True, kw_only=True)
class NullDistribution:
    """The drift between two groups whose models are assigned at random.

    Attributes:
        median: Its median.
        upper: Its 97.5 % quantile.
        p_value: The probability of a drift at least as large as the observed one.
    """

    median: float
    upper: float
    p_value: float


def random_generator(seed: int, *names: str) -> np.random.Generator:
    """Return a random generator that depends on the seed and its purpose alone, not on what was drawn before."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def group_distributions(cells: ModelGroupHistograms) -> Array:
    """Return the probabilities of each group, [groups, components, bins]; NaN where a group has no kernel."""
    counts = np.zeros((cells.n_groups, *cells.counts.shape[1:]))
    np.add.at(counts, cells.group, cells.counts)
    return probabilities(counts, cells.bin_width)


def bootstrap_intervals(
    cells: ModelGroupHistograms, drift: Array, resamples: int, random: np.random.Generator
) -> tuple[Array, Array]:
    """Return 95 % intervals of all drifts by resampling models with replacement.

    Models are drawn within each group (a cluster bootstrap: their layers are drawn with them), or, where a model has
    layers in several groups, once for all groups. Resampled groups are less varied than the true ones, so their drift
    is biased upwards. The basic interval, 2 D - quantiles (Davison and Hinkley 1997, 5.2), corrects for that.

    Args:
        cells: Histograms by model and group.
        drift: Observed drifts [groups, groups].
        resamples: Number of resamples.
        random: Source of random numbers.

    Returns:
        Lower and upper ends, each [groups, groups]. NaN where either group has one model: a single model does not
        tell what another would have shown.
    """
    single = np.array([cells.n_models(group) < 2 for group in range(cells.n_groups)])
    low, high = np.full_like(drift, np.nan), np.full_like(drift, np.nan)
    kept = np.flatnonzero(~single)
    if len(kept) < 2 or resamples < 1:
        return low, high
    resampled = np.concatenate(
        [_drifts_of_counts(counts, cells) for counts in _resampled_counts(cells, kept, resamples, random)]
    )
    # When models are drawn for all groups at once, a small group may receive none.
    resampled = resampled[np.isfinite(resampled).all((1, 2))]
    if not len(resampled):
        return low, high
    quantiles = np.quantile(resampled, [1 - LEVEL / 2, LEVEL / 2], axis=0)
    inner = np.ix_(kept, kept)
    low[inner], high[inner] = np.maximum(2 * drift[inner] - quantiles, 0)
    return low, high


def _resampled_counts(
    cells: ModelGroupHistograms, kept: Indices, resamples: int, random: np.random.Generator
) -> Iterator[Array]:
    """Yield the histograms of the kept groups in blocks of resamples, [block, groups, components, bins]."""
    shape = cells.counts.shape[1:]
    flat = cells.counts.reshape(len(cells.counts), -1)
    models, model_index = np.unique(cells.model, return_inverse=True)
    for block in resample_blocks(resamples):
        joint = bootstrap_counts(len(models), block, random) if cells.models_span_groups else None
        groups = []
        for group in kept:
            members = cells.cells_of(int(group))
            weights = bootstrap_counts(len(members), block, random) if joint is None else joint[:, model_index[members]]
            groups.append(weights @ flat[members])
        yield np.stack(groups, axis=1).reshape(block, len(kept), *shape)


def bootstrap_counts(models: int, block: int, random: np.random.Generator) -> Array:
    """Return how often each model is drawn when as many are drawn with replacement, float64 [block, models]."""
    return random.multinomial(models, np.full(models, 1 / models), block).astype(np.float64)


def _drifts_of_counts(counts: Array, cells: ModelGroupHistograms) -> Array:
    p = probabilities(counts, cells.bin_width)
    return pairwise_drift(p, p, cells.weights)


def permutation_null(
    cells: ModelGroupHistograms, a: int, b: int, drift: float, resamples: int, random: np.random.Generator
) -> NullDistribution | None:
    """Return the distribution of the drift when the models of two groups are assigned to them at random.

    Groups keep their sizes. A model with layers in both groups keeps one cell in each; which one is random.

    Args:
        cells: Histograms by model and group.
        a: The first group.
        b: The second group.
        drift: The observed drift between them.
        resamples: Number of random assignments.
        random: Source of random numbers.

    Returns:
        The null distribution, with the share of assignments, the observed one among them, that drift at least as much
        as its p-value. None where no assignment does more than swap the groups: two groups of one model.
    """
    sides = cells.cells_of(a), cells.cells_of(b)
    if resamples < 1 or not can_permute(*sides, cells.model):
        return None
    flat = cells.counts.reshape(len(cells.counts), -1)
    drifts = []
    for block in resample_blocks(resamples):
        weights, members = permute_labels(*sides, cells.model, block, random)
        first = weights @ flat[members]
        second = flat[members].sum(0) - first
        p, q = (probabilities(x.reshape(-1, *cells.counts.shape[1:]), cells.bin_width) for x in (first, second))
        drifts.append(paired_drift(p, q, cells.weights))
    return summarize_null(np.concatenate(drifts), drift)


def summarize_null(null_drifts: Array, drift: float) -> NullDistribution | None:
    """Summarize drifts drawn under the null hypothesis; None without a finite one.

    Args:
        null_drifts: Drifts drawn under the null hypothesis [resamples].
        drift: The observed drift.
    """
    null_drifts = null_drifts[np.isfinite(null_drifts)]
    if not len(null_drifts):
        return None
    median, upper = np.quantile(null_drifts, [0.5, 1 - LEVEL / 2])
    # The observed assignment, drawn again, may differ from the observed drift in its last bits.
    n_as_large = int((null_drifts >= drift - 1e-9 * abs(drift)).sum())
    return NullDistribution(median=float(median), upper=float(upper), p_value=(1 + n_as_large) / (1 + len(null_drifts)))


def resample_blocks(resamples: int) -> Iterator[int]:
    """Yield the number of resamples to evaluate together, until all are done."""
    for start in range(0, resamples, BLOCK):
        yield min(BLOCK, resamples - start)


def can_permute(first: Indices, second: Indices, model: Indices) -> bool:
    """Return whether a random assignment can do more than swap the two groups.

    Args:
        first: Cells of the first group.
        second: Cells of the second group.
        model: Model of each cell.
    """
    n_shared, n_models = len(np.intersect1d(model[first], model[second])), len(np.union1d(model[first], model[second]))
    return len(first) > 0 and len(second) > 0 and n_models > (1 if n_shared else 2)


def permute_labels(
    first: Indices, second: Indices, model: Indices, block: int, random: np.random.Generator
) -> tuple[Array, Indices]:
    """Assign the cells of two groups to them at random.

    A model in both groups keeps one cell in each. The other cells are assigned so that the groups keep their sizes.

    Args:
        first: Cells of the first group.
        second: Cells of the second group.
        model: Model of each cell.
        block: Number of assignments.
        random: Source of random numbers.

    Returns:
        Which cells are in the first group, float64 [block, members] of 0 and 1; and the cells, int64 [members].
    """
    both = np.intersect1d(model[first], model[second])
    shared_first, shared_second = (_cells_of_models(side, both, model) for side in (first, second))
    swap = random.integers(0, 2, (block, len(both))).astype(np.float64)
    alone = [side[~np.isin(model[side], both)] for side in (first, second)]
    pool = np.concatenate(alone)
    order = random.permuted(np.tile(np.arange(len(pool)), (block, 1)), axis=1)
    in_first = (order < len(alone[0])).astype(np.float64)
    return np.concatenate([1 - swap, swap, in_first], axis=1), np.concatenate([shared_first, shared_second, pool])


def _cells_of_models(side: Indices, models: Indices, model: Indices) -> Indices:
    """Return the cells of one side that belong to `models`, in the order of these."""
    shared = side[np.isin(model[side], models)]
    return shared[np.argsort(model[shared], kind="stable")]


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
