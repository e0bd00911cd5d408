"""Drift between groups of models with the same architectures on both sides, so that no architecture passes for a shift.

What sets two groups apart may be who trains for them what: the outliers of CNN Filter DB came from a few
architectures, not from what they were trained on (arXiv 2210.13799).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.bootstrap import (
    LEVEL,
    Indices,
    ModelGroupHistograms,
    NullDistribution,
    bootstrap_counts,
    can_permute,
    permute_labels,
    resample_blocks,
    summarize_null,
)
from filtercrawl_analysis.statistics.divergence import paired_drift, probabilities


@dataclass(frozen=True, kw_only=True)
class MatchedDrift:
    """A matched drift. strata: architectures on both sides; models_a, models_b: of these architectures, a side each.

    fewest, most: models in one cell, that is of one architecture on one side. low, high: of the 95 % interval, None
    where every cell has one model; null: None where no model could be dealt to the other side.
    """

    drift: float
    low: float | None
    high: float | None
    null: NullDistribution | None
    n_strata: int
    models_a: int
    models_b: int
    min_models: int
    max_models: int


Side = list[Indices]


def matched_drift(
    cells: ModelGroupHistograms, stratum: Indices, a: int, b: int, resamples: int, random: np.random.Generator
) -> MatchedDrift | None:
    """Compare two groups over the architectures that both have; None where there is none.

    stratum: the architecture of each cell, -1 where it is unknown. Within an architecture, the kernels of a side's
    models are counted together; over architectures, each has the same weight on both sides: the distribution of a side
    is the mean of those of its architectures. Intervals draw models within each cell, or, where a model has layers in
    both groups, within each architecture; the null deals models to the sides within each architecture.
    """
    common = np.intersect1d(stratum[cells.cells_of(a)], stratum[cells.cells_of(b)])
    sides = [
        [members for s in common if s >= 0 for members in [cells.cells_of(group)[stratum[cells.cells_of(group)] == s]]]
        for group in (a, b)
    ]
    if not sides[0]:
        return None
    sizes = [len(members) for side in sides for members in side]
    drift = float(_between(cells, [[np.ones((1, len(m))) for m in side] for side in sides], sides)[0])
    low, high = _interval(cells, sides, drift, resamples, random) if max(sizes) > 1 else (None, None)
    return MatchedDrift(
        drift=drift,
        low=low,
        high=high,
        null=_null(cells, sides, drift, resamples, random),
        n_strata=len(sides[0]),
        models_a=sum(map(len, sides[0])),
        models_b=sum(map(len, sides[1])),
        min_models=min(sizes),
        max_models=max(sizes),
    )


def _between(cells: ModelGroupHistograms, weights: list[list[Array]], sides: list[Side]) -> Array:
    """Return the drift [draws] between two sides, whose cells count as often as their weights [draws, cells] say."""
    p, q = (_mean(cells, weight, side) for weight, side in zip(weights, sides, strict=True))
    return paired_drift(p, q, cells.weights)


def _mean(cells: ModelGroupHistograms, weights: list[Array], side: Side) -> Array:
    flat = cells.counts.reshape(len(cells.counts), -1)
    total: Array | None = None
    for weight, members in zip(weights, side, strict=True):
        counts = (weight @ flat[members]).reshape(-1, *cells.counts.shape[1:])
        with np.errstate(invalid="ignore"):
            share = counts / counts.sum(-1, keepdims=True)
        total = share if total is None else total + share
    assert total is not None  # a side has a stratum
    return probabilities(total, cells.bin_width)


def _interval(
    cells: ModelGroupHistograms, sides: list[Side], drift: float, resamples: int, random: np.random.Generator
) -> tuple[float | None, float | None]:
    found = []
    for block in resample_blocks(resamples):
        weights: list[list[Array]] = [[], []]
        for first, second in zip(*sides, strict=True):
            for weight, drawn in zip(weights, _drawn(cells.model, first, second, block, random), strict=True):
                weight.append(drawn)
        found.append(_between(cells, weights, sides))
    drawn = np.concatenate(found) if found else np.empty(0)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return None, None
    ends = 2 * drift - np.quantile(drawn, [1 - LEVEL / 2, LEVEL / 2])
    return float(max(ends[0], 0)), float(max(ends[1], 0))


def _drawn(
    model: Indices, first: Indices, second: Indices, block: int, random: np.random.Generator
) -> tuple[Array, Array]:
    """Draw models of one architecture with replacement, those on both sides for both: weights [block, cells] a side."""
    if len(np.intersect1d(model[first], model[second])):
        models = np.union1d(model[first], model[second])
        drawn = bootstrap_counts(len(models), block, random)
        return drawn[:, np.searchsorted(models, model[first])], drawn[:, np.searchsorted(models, model[second])]
    return bootstrap_counts(len(first), block, random), bootstrap_counts(len(second), block, random)


def _null(
    cells: ModelGroupHistograms, sides: list[Side], drift: float, resamples: int, random: np.random.Generator
) -> NullDistribution | None:
    strata = list(zip(sides[0], sides[1], strict=True))
    # One architecture swaps its sides, two may do so each by itself, which is a deal.
    if len(strata) == 1 and not can_permute(sides[0][0], sides[1][0], cells.model):
        return None
    found = []
    for block in resample_blocks(resamples):
        weights: list[list[Array]] = [[], []]
        dealt: Side = []
        for first, second in strata:
            weight, members = permute_labels(first, second, cells.model, block, random)
            weights[0].append(weight)
            weights[1].append(1 - weight)
            dealt.append(members)
        found.append(_between(cells, weights, [dealt, dealt]))
    return summarize_null(np.concatenate(found), drift) if found else None
