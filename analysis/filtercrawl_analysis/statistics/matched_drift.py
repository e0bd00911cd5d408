"""Drift between groups of models, matched by architecture: a difference in architecture does not count as drift.

The outliers of CNN Filter DB came from a few architectures, not from their training data (arXiv 2210.13799).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.divergence import paired_drift, probabilities
from filtercrawl_analysis.statistics.resampling import (
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


@dataclass(frozen=True, kw_only=True)
class MatchedDrift:
    """A drift over the strata, that is the architectures, that two groups share.

    Attributes:
        drift: The drift D.
        low: Lower end of its 95 % interval; None if every cell has one model.
        high: Upper end.
        null: Its null distribution; None if no model can be assigned to the other group.
        n_strata: Number of shared strata.
        models_a: Models of the first group in them.
        models_b: Models of the second group in them.
        min_models: Fewest models in one cell, that is one stratum of one group.
        max_models: Most models in one cell.
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
    """Compare two groups over the strata that both have.

    Within a stratum, the kernels of all models of a group are pooled. Every stratum has the same weight in both groups:
    the distribution of a group is the mean of those of its strata. Intervals resample models within each cell or, where
    a model has layers in both groups, within each stratum. The null assigns models to groups within each stratum.

    Args:
        cells: Histograms by model and group.
        stratum: Stratum of each cell, -1 where it is unknown.
        a: The first group.
        b: The second group.
        resamples: Number of bootstrap resamples, and of random assignments.
        random: Source of random numbers.

    Returns:
        The matched drift; None if the groups share no stratum.
    """
    common = np.intersect1d(stratum[cells.cells_of(a)], stratum[cells.cells_of(b)])
    sides = [
        [members for s in common if s >= 0 for members in [cells.cells_of(group)[stratum[cells.cells_of(group)] == s]]]
        for group in (a, b)
    ]
    if not sides[0]:
        return None
    sizes = [len(members) for side in sides for members in side]
    drift = float(_weighted_drift(cells, [[np.ones((1, len(m))) for m in side] for side in sides], sides)[0])
    low, high = _bootstrap_interval(cells, sides, drift, resamples, random) if max(sizes) > 1 else (None, None)
    return MatchedDrift(
        drift=drift,
        low=low,
        high=high,
        null=_permutation_null(cells, sides, drift, resamples, random),
        n_strata=len(sides[0]),
        models_a=sum(map(len, sides[0])),
        models_b=sum(map(len, sides[1])),
        min_models=min(sizes),
        max_models=max(sizes),
    )


def _weighted_drift(cells: ModelGroupHistograms, weights: list[list[Array]], sides: list[Side]) -> Array:
    """Return the drift [draws] between two sides whose cells have weights [draws, cells]."""
    p, q = (_mean_distribution(cells, weight, side) for weight, side in zip(weights, sides, strict=True))
    return paired_drift(p, q, cells.weights)


def _mean_distribution(cells: ModelGroupHistograms, weights: list[Array], side: Side) -> Array:
    flat = cells.counts.reshape(len(cells.counts), -1)
    total: Array | None = None
    for weight, members in zip(weights, side, strict=True):
        counts = (weight @ flat[members]).reshape(-1, *cells.counts.shape[1:])
        with np.errstate(invalid="ignore"):
            share = counts / counts.sum(-1, keepdims=True)
        total = share if total is None else total + share
    assert total is not None  # a side has a stratum
    return probabilities(total, cells.bin_width)


def _bootstrap_interval(
    cells: ModelGroupHistograms, sides: list[Side], drift: float, resamples: int, random: np.random.Generator
) -> tuple[float | None, float | None]:
    drifts = []
    for block in resample_blocks(resamples):
        weights: list[list[Array]] = [[], []]
        for first, second in zip(*sides, strict=True):
            for weight, resampled in zip(
                weights, _resample_stratum(cells.model, first, second, block, random), strict=True
            ):
                weight.append(resampled)
        drifts.append(_weighted_drift(cells, weights, sides))
    resampled = np.concatenate(drifts) if drifts else np.empty(0)
    resampled = resampled[np.isfinite(resampled)]
    if not len(resampled):
        return None, None
    interval = 2 * drift - np.quantile(resampled, [1 - LEVEL / 2, LEVEL / 2])
    return float(max(interval[0], 0)), float(max(interval[1], 0))


def _resample_stratum(
    model: Indices, first: Indices, second: Indices, block: int, random: np.random.Generator
) -> tuple[Array, Array]:
    """Resample the models of one stratum with replacement; a model on both sides is drawn for both.

    Returns:
        Weights of the cells of each side, [block, cells] each.
    """
    if len(np.intersect1d(model[first], model[second])):
        models = np.union1d(model[first], model[second])
        drawn = bootstrap_counts(len(models), block, random)
        return drawn[:, np.searchsorted(models, model[first])], drawn[:, np.searchsorted(models, model[second])]
    return bootstrap_counts(len(first), block, random), bootstrap_counts(len(second), block, random)


def _permutation_null(
    cells: ModelGroupHistograms, sides: list[Side], drift: float, resamples: int, random: np.random.Generator
) -> NullDistribution | None:
    strata = list(zip(sides[0], sides[1], strict=True))
    # A single stratum can only swap its sides; of several, each can swap by itself, which is an assignment.
    if len(strata) == 1 and not can_permute(sides[0][0], sides[1][0], cells.model):
        return None
    drifts = []
    for block in resample_blocks(resamples):
        weights: list[list[Array]] = [[], []]
        assigned: Side = []
        for first, second in strata:
            weight, members = permute_labels(first, second, cells.model, block, random)
            weights[0].append(weight)
            weights[1].append(1 - weight)
            assigned.append(members)
        drifts.append(_weighted_drift(cells, weights, [assigned, assigned]))
    return summarize_null(np.concatenate(drifts), drift) if drifts else None
