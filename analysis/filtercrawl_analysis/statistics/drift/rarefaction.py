"""Rarefaction: cells that may exchange sides are thinned to equal numbers of kernels.

A histogram of few kernels is noisier than one of many. Where sizes go with groups, an exchange of models would change
the noise of both groups, and a test by exchange would find a difference between equal distributions. The numbers of
kernels follow from sizes alone, never from the kernels, so that a test conditional on them stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, prod
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.drift.model_histograms import Indices, ModelGroupHistograms, Stratum

# Kernels at which the sampling noise of a model's histogram is about as large as the spread between models.
TYPICAL_KERNELS: Final = 500.0
# Smallest p-value down to which cells of few kernels are not left out for the sake of more kernels a cell.
ENOUGH_ASSIGNMENTS: Final = 0.001
# Above this, numpy cannot draw without replacement; a sample of so few of so many is the same with replacement.
_MAX_POPULATION: Final = 10**9


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of cells that swap sides: the two cells of a model, or all that a stratum has of two models.

    Attributes:
        first: Cells of the first group [pairs].
        second: Cells of the second group [pairs].
        kernels: Number of kernels that both cells of a pair are thinned to [pairs].
        stratum: Stratum of each pair [pairs].
    """

    first: Indices
    second: Indices
    kernels: Indices
    stratum: Indices

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Cells of different models that are dealt to both sides, which keep their numbers of cells.

    Attributes:
        cells: The cells, those of the first group first.
        n_first: Number of cells of the first group.
        kernels: Number of kernels that each is thinned to.
        stratum: Their stratum.
    """

    cells: Indices
    n_first: int
    kernels: int
    stratum: int

    @property
    def n_second(self) -> int:
        """Number of cells of the second group."""
        return len(self.cells) - self.n_first


@dataclass(frozen=True, kw_only=True)
class ExchangeDesign:
    """The cells of two groups that may exchange sides.

    Attributes:
        pairs: Those that swap.
        pools: Those that are dealt, one pool a stratum.
    """

    pairs: Pairs
    pools: tuple[Pool, ...]

    @property
    def n_assignments(self) -> int:
        """Number of assignments of cells to sides."""
        return prod(comb(len(pool.cells), pool.n_first) for pool in self.pools) << len(self.pairs)

    @property
    def is_symmetric(self) -> bool:
        """Whether to exchange the two groups as a whole is one of the assignments."""
        return all(pool.n_first == pool.n_second for pool in self.pools)

    @property
    def smallest_p_value(self) -> float:
        """The smallest p-value that the assignments can give."""
        return (2 if self.is_symmetric else 1) / self.n_assignments

    @property
    def n_models(self) -> tuple[int, int]:
        """Number of cells of either group."""
        first, second = (sum(getattr(pool, name) for pool in self.pools) for name in ("n_first", "n_second"))
        return len(self.pairs) + first, len(self.pairs) + second

    @property
    def kernels_per_model(self) -> int:
        """Median number of kernels that cells are thinned to; 0 without cells."""
        sizes = [*self.pairs.kernels.tolist(), *(pool.kernels for pool in self.pools for _ in pool.cells)]
        return int(np.median(sizes)) if sizes else 0


def size_weight(kernels: Array | Indices) -> Array:
    """Return the weight of cells with these numbers of kernels, in proportion to the precision of their histograms."""
    weight: Array = kernels / (kernels + TYPICAL_KERNELS)
    return weight


def exchange_design(cells: ModelGroupHistograms, strata: tuple[Stratum, ...]) -> ExchangeDesign:
    """Return which cells may exchange sides, and the number of kernels that they are thinned to.

    A model in both groups swaps its two cells, both thinned to the smaller. The other cells of a stratum are dealt, if
    both groups have some; those with fewer kernels than their common number are left out.

    Args:
        cells: Histograms by model and group.
        strata: The strata to compare.
    """
    kernels = cells.kernels
    pairs: list[tuple[int, int, int, int]] = []
    pools: list[Pool] = []
    for code, stratum in enumerate(strata):
        first, second = (side[np.argsort(cells.model[side], kind="stable")] for side in (stratum.first, stratum.second))
        in_both = np.intersect1d(cells.model[first], cells.model[second])
        for i, j in zip(
            first[np.isin(cells.model[first], in_both)], second[np.isin(cells.model[second], in_both)], strict=True
        ):
            pairs.append((int(i), int(j), int(min(kernels[i], kernels[j])), code))
        first, second = (side[~np.isin(cells.model[side], in_both)] for side in (first, second))
        common = common_kernels(kernels[first], kernels[second])
        first, second = (side[kernels[side] >= common] for side in (first, second))
        if len(first) == len(second) == 1:
            pairs.append((int(first[0]), int(second[0]), common, code))
        elif len(first) and len(second):
            members = np.concatenate([first, second])
            pools.append(Pool(cells=members, n_first=len(first), kernels=common, stratum=code))
    columns = np.array(pairs, np.int64).reshape(-1, 4).T
    return ExchangeDesign(
        pairs=Pairs(first=columns[0], second=columns[1], kernels=columns[2], stratum=columns[3]), pools=tuple(pools)
    )


def common_kernels(first: Indices, second: Indices) -> int:
    """Return the number of kernels to thin cells to, the best compromise of many cells and many kernels.

    Args:
        first: Number of kernels of each cell of the first group.
        second: The same of the second group.

    Returns:
        The number n that maximizes a b / (a + b) * n / (n + `TYPICAL_KERNELS`), with a and b cells of at least n
        kernels in the groups: the inverse variance of the difference of their means. Where groups are small, no cells
        are left out that small p-values need. 1 where a group has no cell.
    """
    candidates = np.union1d(first, second)
    n_first, n_second = ((side[:, None] >= candidates).sum(0) for side in (first, second))
    kept = (n_first > 0) & (n_second > 0)
    candidates, n_first, n_second = candidates[kept], n_first[kept], n_second[kept]
    if not len(candidates):
        return 1
    smallest = np.array([_smallest_p_value(a, b) for a, b in zip(n_first.tolist(), n_second.tolist(), strict=True)])
    precision = n_first * n_second / (n_first + n_second) * size_weight(candidates)
    precision[smallest > max(ENOUGH_ASSIGNMENTS, smallest.min())] = 0
    return int(candidates[np.flatnonzero(precision >= precision.max() * (1 - 1e-12))[-1]])


def _smallest_p_value(first: int, second: int) -> float:
    """Return the smallest p-value that groups of so many cells can give."""
    return (2 if first == second else 1) / comb(first + second, first)


def thin(counts: Array, kernels: int, random: np.random.Generator) -> Array:
    """Return the shares of bins of a random sample of the kernels of a cell, [components, bins].

    Args:
        counts: Histograms of the cell [components, bins].
        kernels: Number of kernels to sample without replacement; components are sampled independently.
        random: Source of random numbers.
    """
    thinned = np.empty(counts.shape)
    for component, histogram in enumerate(counts.astype(np.int64)):
        total = int(histogram.sum())
        if total == kernels:
            thinned[component] = histogram
        elif total < _MAX_POPULATION:
            thinned[component] = random.multivariate_hypergeometric(histogram, kernels, method="marginals")
        else:
            thinned[component] = random.multinomial(kernels, histogram / total)
    return thinned / kernels
