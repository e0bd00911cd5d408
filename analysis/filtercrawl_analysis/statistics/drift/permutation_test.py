"""The test of equal distributions by exchange of models between two groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.drift.model_histograms import Indices, ModelGroupHistograms
from filtercrawl_analysis.statistics.drift.rarefaction import ExchangeDesign, Pool, size_weight, thin
from filtercrawl_analysis.statistics.drift.unit_variance import VarianceMoments, variance_moments

# Pseudo-count of kernels in each bin of the pooled distribution (Jeffreys).
PSEUDO_COUNT: Final = 0.5
# Assignments that reach the observed statistic, after which drawing ends (Besag and Clifford 1991).
ENOUGH_HITS: Final = 50
# Assignments evaluated together: bounds memory.
_BLOCK: Final = 512


@dataclass(frozen=True, kw_only=True)
class ExchangeStatistic:
    """The statistic of the test as a function of the assignment.

    The difference between the mean distributions of the two sides is offset + sum of e_j * vector_j over the pairs and
    the cells of pools, with e_j = 1 for a pair in its observed order and for a cell on the first side, else 0. Bins are
    scaled so that its squared length is the sum over components of their weight times the sum over bins of
    (p - q)^2 / m, with m the pooled distribution: D to second order. Only inner products are kept.

    Attributes:
        design: The cells that may exchange sides.
        length: Squared length of the offset.
        linear: Inner products of offset and vectors [variables].
        gram: Inner products of the vectors [variables, variables]; pairs first, then the cells of each pool.
        shares: Share of the first side in each vector [variables]; the contribution of a cell of a pool is this times
            the vector on the first side, and this minus 1 times the vector on the second.
        constant: Part of the variance of pairs that no assignment changes.
    """

    design: ExchangeDesign
    length: float
    linear: Array
    gram: Array
    shares: Array
    constant: float

    def evaluate(self, assignments: Array) -> Array:
        """Return the squared length over its variance, for each assignment.

        The variance is estimated within sides, so that sides of unequal spread do not pass for a shift (Chung and
        Romano 2013). Where no side has two cells, the squared length itself is returned.

        Args:
            assignments: Values of e [assignments, variables].
        """
        squared = self.length + 2 * assignments @ self.linear + _forms(assignments, self.gram)
        variance = np.zeros(len(assignments))
        n_pairs, start = len(self.design.pairs), len(self.design.pairs)
        if n_pairs > 1:
            signs, half = 2 * assignments[:, :n_pairs] - 1, self.gram[:n_pairs, :n_pairs] / 4
            variance += self.constant + (n_pairs * np.trace(half) - _forms(signs, half)) / (n_pairs - 1)
        for pool in self.design.pools:
            part = slice(start, start + len(pool.cells))
            start = part.stop
            gram, share, chosen = self.gram[part, part], self.shares[part.start], assignments[:, part]
            for members, n, factor in ((chosen, pool.n_first, share), (1 - chosen, pool.n_second, 1 - share)):
                if n > 1:
                    scatter = n * members @ np.diag(gram) - _forms(members, gram)
                    variance += factor**2 * scatter / (n - 1)
        ratio: Array = squared / np.maximum(variance, 1e-300) if variance.any() else squared
        return ratio

    def observed(self) -> Array:
        """Return the observed assignment [variables]."""
        parts = [np.ones(len(self.design.pairs))]
        parts += [(np.arange(len(pool.cells)) < pool.n_first).astype(np.float64) for pool in self.design.pools]
        return np.concatenate(parts)

    def moments(self, pseudo_units: float = 0.0) -> VarianceMoments | None:
        """Return the moments of the difference, from the scatter of models within their sides.

        Args:
            pseudo_units: See `variance_moments`.
        """
        scale, sets = self._contributions()
        return variance_moments(self.gram * scale * scale[:, None], sets, pseudo_units)

    def squared_length(self) -> float:
        """Return the squared length of the observed difference."""
        e = self.observed()
        return float(self.length + 2 * e @ self.linear + e @ self.gram @ e)

    def along_difference(self) -> tuple[Array, list[Indices]]:
        """Return the inner products of the contributions of pairs and cells with the observed difference.

        Returns:
            The inner products [variables], and the variables of the pairs and of either side of each pool.
        """
        scale, sets = self._contributions()
        return scale * (self.linear + self.gram @ self.observed()), sets

    def _contributions(self) -> tuple[Array, list[Indices]]:
        """Return the factors of vectors in the difference [variables], and the variables of each set of units."""
        e, n_pairs = self.observed(), len(self.design.pairs)
        scale = np.where(np.arange(len(e)) < n_pairs, 0.5, e - 1 + self.shares)
        sets, start = [np.arange(n_pairs)], n_pairs
        for pool in self.design.pools:
            members = np.arange(start, start + len(pool.cells))
            sets += [members[: pool.n_first], members[pool.n_first :]]
            start += len(members)
        return scale, sets


def exchange_statistic(
    cells: ModelGroupHistograms, design: ExchangeDesign, random: np.random.Generator
) -> ExchangeStatistic:
    """Thin the cells of a design and return the statistic of the test.

    Args:
        cells: Histograms by model and group.
        design: The cells that may exchange sides, and their numbers of kernels.
        random: Source of random numbers for thinning.
    """
    pairs, pools = design.pairs, design.pools
    stratum = np.concatenate([pairs.stratum, *(np.full(len(pool.cells), pool.stratum) for pool in pools)])
    kernels = np.concatenate([pairs.kernels, *(np.full(len(pool.cells), pool.kernels) for pool in pools)])
    is_pair = np.arange(len(kernels)) < len(pairs)
    on_first = is_pair | np.concatenate([is_pair[: len(pairs)], *(_on_first(pool) for pool in pools)])
    on_second = is_pair | ~on_first
    _, code = np.unique(stratum, return_inverse=True)
    weight = size_weight(kernels)
    totals = [np.bincount(code, weight * side) for side in (on_first, on_second)]
    first, second = (weight / total[code] / len(total) for total in totals)
    main = _thinned(cells, np.concatenate([pairs.first, *(pool.cells for pool in pools)]), kernels, random)
    other = _thinned(cells, pairs.second, pairs.kernels, random)
    mean_weight = weight / (totals[0] + totals[1])[code] / len(totals[0])
    pooled = np.tensordot(mean_weight, main, 1) + np.tensordot(mean_weight[is_pair], other, 1)
    n_effective = 1 / ((1 + is_pair) * mean_weight**2 / kernels).sum()
    scale = np.sqrt(cells.weights[:, None] / (pooled + PSEUDO_COUNT / n_effective))
    x, y = (((part - pooled) * scale).reshape(len(part), scale.size) for part in (main, other))
    a, b = first[:, None], second[:, None]
    vectors = (a + b) * x
    vectors[is_pair] -= (a + b)[is_pair] * y
    offset = (a[is_pair] * y - b[is_pair] * x[is_pair]).sum(0) - (b * x)[~is_pair].sum(0)
    common = (a - b)[is_pair] / 2 * (x[is_pair] + y)
    scatter = ((common - common.mean(0)) ** 2).sum() if len(pairs) > 1 else 0.0
    return ExchangeStatistic(
        design=design,
        length=float(offset @ offset),
        linear=vectors @ offset,
        gram=vectors @ vectors.T,
        shares=first / (first + second),
        constant=float(scatter * len(pairs) / max(len(pairs) - 1, 1)),
    )


def exchange_p_value(statistic: ExchangeStatistic, max_draws: int, random: np.random.Generator) -> float:
    """Return the probability that an assignment at random has at least the observed statistic.

    All assignments are enumerated where there are at most `max_draws`. Else they are drawn until enough reach the
    observed statistic, or there are `max_draws` of them; p-values of either case are valid.

    Args:
        statistic: The statistic.
        max_draws: Most assignments to evaluate.
        random: Source of random numbers.
    """
    observed = float(statistic.evaluate(statistic.observed()[None])[0]) * (1 - 1e-9)
    if statistic.design.n_assignments <= max_draws:
        hits = [statistic.evaluate(block) >= observed for block in _all_assignments(statistic.design)]
        return float(np.concatenate(hits).mean())
    n_hits = n_drawn = 0
    while n_drawn < max_draws:
        block = _random_assignments(statistic.design, min(_BLOCK, max_draws - n_drawn), random)
        reached = np.flatnonzero(statistic.evaluate(block) >= observed)
        if n_hits + len(reached) >= ENOUGH_HITS:
            return ENOUGH_HITS / (n_drawn + int(reached[ENOUGH_HITS - n_hits - 1]) + 1)
        n_hits, n_drawn = n_hits + len(reached), n_drawn + len(block)
    return (n_hits + 1) / (n_drawn + 1)


def _on_first(pool: Pool) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.arange(len(pool.cells)) < pool.n_first


def _thinned(cells: ModelGroupHistograms, members: Indices, kernels: Indices, random: np.random.Generator) -> Array:
    thinned = np.empty((len(members), *cells.counts.shape[1:]))
    for i, (cell, n) in enumerate(zip(members.tolist(), kernels.tolist(), strict=True)):
        thinned[i] = thin(cells.counts[cell], n, random)
    return thinned


def _forms(rows: Array, matrix: Array) -> Array:
    """Return the quadratic form of each row."""
    forms: Array = ((rows @ matrix) * rows).sum(1)
    return forms


def _all_assignments(design: ExchangeDesign) -> Iterator[Array]:
    options = [np.array([[1.0], [0.0]])] * len(design.pairs)
    for pool in design.pools:
        chosen = list(combinations(range(len(pool.cells)), pool.n_first))
        option = np.zeros((len(chosen), len(pool.cells)))
        np.put_along_axis(option, np.array(chosen), 1.0, axis=1)
        options.append(option)
    for start in range(0, design.n_assignments, _BLOCK):
        rest, parts = np.arange(start, min(start + _BLOCK, design.n_assignments)), []
        for option in options:
            parts.append(option[rest % len(option)])
            rest = rest // len(option)
        yield np.concatenate(parts, axis=1)


def _random_assignments(design: ExchangeDesign, n: int, random: np.random.Generator) -> Array:
    parts = [random.integers(0, 2, (n, len(design.pairs))).astype(np.float64)]
    parts += [random.permuted(np.tile(_on_first(pool), (n, 1)), axis=1).astype(np.float64) for pool in design.pools]
    return np.concatenate(parts, axis=1)
