"""What chance does to a drift: intervals by resampling models, and the drift that models split at random would show."""

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

LEVEL: Final = 0.05
# Draws looked at together: bounded memory, whatever options.resamples says.
BLOCK: Final = 64


@dataclass(frozen=True, kw_only=True)
class ModelGroupHistograms:
    """Histograms of the models of each group. A cell is what one model has in one group.

    group, model: of each cell, int64 [cells]; counts: [cells, components, bins]; width: of a bin; shares: of the
    components in the drift.
    """

    group: Indices
    model: Indices
    counts: Array
    bin_width: float
    weights: Array
    n_groups: int

    @property
    def models_span_groups(self) -> bool:
        """Whether a model has layers in more than one group, as with depth: it is then drawn with all of them."""
        return len(self.group) > len(np.unique(self.model))

    def cells_of(self, group: int) -> Indices:
        return np.flatnonzero(self.group == group)

    def n_models(self, group: int) -> int:
        return len(self.cells_of(group))


@dataclass(frozen=True, kw_only=True)
class NullDistribution:
    """The drift between the models of two groups shuffled: its median, 97.5 % quantile, and the p-value of a drift."""

    median: float
    upper: float
    p_value: float


def random_generator(seed: int, *names: str) -> np.random.Generator:
    """Return random numbers that depend on the seed and what they are for, not on what was drawn before."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def group_distributions(cells: ModelGroupHistograms) -> Array:
    """Return the probabilities of each group, [groups, components, bins]; NaN where a group has no kernel."""
    counts = np.zeros((cells.n_groups, *cells.counts.shape[1:]))
    np.add.at(counts, cells.group, cells.counts)
    return probabilities(counts, cells.bin_width)


def bootstrap_intervals(
    cells: ModelGroupHistograms, drift: Array, resamples: int, random: np.random.Generator
) -> tuple[Array, Array]:
    """Return the ends of 95 % intervals of all drifts, each [groups, groups], by drawing models with replacement.

    Models are drawn within each group (a cluster bootstrap: their layers come along), or, where a model has layers in
    several groups, once for all groups. Drawn groups are less varied than the true ones, so their drift lies above;
    the basic interval, 2 D - quantiles (Davison and Hinkley 1997, 5.2), takes that off. NaN where either group has one
    model: nothing can be said of what another would have shown.
    """
    single = np.array([cells.n_models(group) < 2 for group in range(cells.n_groups)])
    low, high = np.full_like(drift, np.nan), np.full_like(drift, np.nan)
    kept = np.flatnonzero(~single)
    if len(kept) < 2 or resamples < 1:
        return low, high
    drawn = np.concatenate([_drifts_of(counts, cells) for counts in _draws(cells, kept, resamples, random)])
    # Where models are drawn for all groups at once, a small group may be left without any.
    drawn = drawn[np.isfinite(drawn).all((1, 2))]
    if not len(drawn):
        return low, high
    ends = np.quantile(drawn, [1 - LEVEL / 2, LEVEL / 2], axis=0)
    inner = np.ix_(kept, kept)
    low[inner], high[inner] = np.maximum(2 * drift[inner] - ends, 0)
    return low, high


def _draws(cells: ModelGroupHistograms, kept: Indices, resamples: int, random: np.random.Generator) -> Iterator[Array]:
    """Yield the histograms of the kept groups in some resamples, [block, groups, components, bins]."""
    shape = cells.counts.shape[1:]
    flat = cells.counts.reshape(len(cells.counts), -1)
    models, place = np.unique(cells.model, return_inverse=True)
    for block in resample_blocks(resamples):
        joint = bootstrap_counts(len(models), block, random) if cells.models_span_groups else None
        groups = []
        for group in kept:
            members = cells.cells_of(int(group))
            weight = bootstrap_counts(len(members), block, random) if joint is None else joint[:, place[members]]
            groups.append(weight @ flat[members])
        yield np.stack(groups, axis=1).reshape(block, len(kept), *shape)


def bootstrap_counts(models: int, block: int, random: np.random.Generator) -> Array:
    """How often each model is drawn when as many are drawn with replacement: [block, models]."""
    return random.multinomial(models, np.full(models, 1 / models), block).astype(np.float64)


def _drifts_of(counts: Array, cells: ModelGroupHistograms) -> Array:
    p = probabilities(counts, cells.bin_width)
    return pairwise_drift(p, p, cells.weights)


def permutation_null(
    cells: ModelGroupHistograms, a: int, b: int, drift: float, resamples: int, random: np.random.Generator
) -> NullDistribution | None:
    """Return what drift the models of two groups show when dealt to two groups of the same sizes at random.

    A model with layers in both groups keeps one part in each, which is which by chance. The p-value is the share of
    deals, the true one among them, that drift at least as much. None where no deal differs from the true one but by
    the names of the groups: two groups of one model.
    """
    sides = cells.cells_of(a), cells.cells_of(b)
    if resamples < 1 or not can_permute(*sides, cells.model):
        return None
    flat = cells.counts.reshape(len(cells.counts), -1)
    found = []
    for block in resample_blocks(resamples):
        weight, members = permute_labels(*sides, cells.model, block, random)
        part = weight @ flat[members]
        rest = flat[members].sum(0) - part
        p, q = (probabilities(x.reshape(-1, *cells.counts.shape[1:]), cells.bin_width) for x in (part, rest))
        found.append(paired_drift(p, q, cells.weights))
    return summarize_null(np.concatenate(found), drift)


def summarize_null(drawn: Array, drift: float) -> NullDistribution | None:
    """Return the null of a drift from drifts drawn under it."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return None
    median, high = np.quantile(drawn, [0.5, 1 - LEVEL / 2])
    # The same deal drawn again may differ in its last bits.
    reached = int((drawn >= drift - 1e-9 * abs(drift)).sum())
    return NullDistribution(median=float(median), upper=float(high), p_value=(1 + reached) / (1 + len(drawn)))


def resample_blocks(resamples: int) -> Iterator[int]:
    """Yield how many draws to look at together, until all are done."""
    for start in range(0, resamples, BLOCK):
        yield min(BLOCK, resamples - start)


def can_permute(first: Indices, second: Indices, model: Indices) -> bool:
    """Whether there is a deal that does more than swap the two sides."""
    both, all_models = len(np.intersect1d(model[first], model[second])), len(np.union1d(model[first], model[second]))
    return len(first) > 0 and len(second) > 0 and all_models > (1 if both else 2)


def permute_labels(
    first: Indices, second: Indices, model: Indices, block: int, random: np.random.Generator
) -> tuple[Array, Indices]:
    """Deal the cells of two sides anew, `block` times: which of them the first has, [block, cells] of 0 and 1; cells.

    A model on both sides keeps one cell on each; the others are dealt in the numbers that the sides had.
    """
    both = np.intersect1d(model[first], model[second])
    shared_first, shared_second = (_ordered(side, both, model) for side in (first, second))
    swap = random.integers(0, 2, (block, len(both))).astype(np.float64)
    alone = [side[~np.isin(model[side], both)] for side in (first, second)]
    pool = np.concatenate(alone)
    order = random.permuted(np.tile(np.arange(len(pool)), (block, 1)), axis=1)
    dealt = (order < len(alone[0])).astype(np.float64)
    return np.concatenate([1 - swap, swap, dealt], axis=1), np.concatenate([shared_first, shared_second, pool])


def _ordered(side: Indices, models: Indices, model: Indices) -> Indices:
    """The cells of one side that these models have, in the order of the models."""
    shared = side[np.isin(model[side], models)]
    return shared[np.argsort(model[shared], kind="stable")]


def adjust_p_values(p_values: Array) -> Array:
    """Return p-values adjusted as by Benjamini and Hochberg (1995), in the same order; NaN stays NaN and counts not.

    To call a test significant where its adjusted value is at most q keeps the expected share of false calls among all
    calls at q.
    """
    result = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    ranks = np.arange(1, len(order) + 1)
    raised = p_values[order] * len(order) / ranks
    result[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return result
