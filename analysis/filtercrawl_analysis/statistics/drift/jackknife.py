"""Estimates of the drift between the populations that the models of two groups are samples of."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.drift.divergence import paired_drift
from filtercrawl_analysis.statistics.drift.model_histograms import Indices, ModelGroupHistograms, Stratum
from filtercrawl_analysis.statistics.drift.rarefaction import size_weight
from filtercrawl_analysis.statistics.drift.unit_variance import VarianceMoments, variance_moments

# Pseudo-count of kernels in each bin: of those tried, the one that leaves the least bias (docs/calibration.md).
PSEUDO_COUNT: Final = 0.1
# Standard deviation of the log probability of a side in the bins that it lacks and the other side has: there, it
# follows from the pseudo-count alone, in all of them alike. With it, intervals of large drifts between few kernels
# cover (docs/calibration.md); where few kernels are in such bins, it adds next to nothing.
UNKNOWN_LOG: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class DriftEstimate:
    """An estimate of the drift between two populations of models.

    Attributes:
        estimate: The drift, corrected for the bias of small samples; may be negative.
        variance: Its variance without what the drift of equal populations varies: along the gradient of the drift, or,
            if larger, that of the jackknife less twice the variance of equal populations, as the jackknife doubles what
            is quadratic (Efron and Stein 1981). Where bins are empty, the gradient tells too little. Bins that only one
            side has add to both, see `UNKNOWN_LOG`.
        degrees_of_freedom: Those of the variance (Welch and Satterthwaite); the geometric mean with those of the
            variance in all directions where these are fewer: where a set of few models is close together along one
            direction by chance, it would seem not to matter.
        moments: Moments of the difference of the two mean distributions.
    """

    estimate: float
    variance: float
    degrees_of_freedom: float
    moments: VarianceMoments


@dataclass(frozen=True, kw_only=True)
class _Side:
    """The cells of one group.

    Attributes:
        cells: The cells [cells].
        stratum: Stratum of each [cells].
        weight: Weight of each in its stratum [cells].
    """

    cells: Indices
    stratum: Indices
    weight: Array

    def coefficients(self, kept: NDArray[np.bool_]) -> Array:
        """Return the share of each cell in the mean over strata of weighted means, [rows, cells].

        Args:
            kept: Which cells are kept [rows, cells]; a stratum without cells is left out.
        """
        weight = kept * self.weight
        by_stratum = np.equal.outer(np.unique(self.stratum), self.stratum).astype(np.float64)
        totals = weight @ by_stratum.T
        n_strata = (totals > 0).sum(1, keepdims=True)
        of_cell = totals @ by_stratum
        coefficients: Array = weight / np.where(of_cell > 0, of_cell, 1) / n_strata
        return coefficients


def estimate_drift(cells: ModelGroupHistograms, strata: tuple[Stratum, ...]) -> DriftEstimate | None:
    """Estimate the drift between two populations by leaving out one model at a time (the jackknife).

    A model is left out with its cells in both groups; of a stratum in which a group has one model, all models are left
    out together. Models have nearly the same weight, less where they have few kernels; the cells of a model in both
    groups have the weight of the smaller, so that what they share cancels. Empty bins have a pseudo-count.

    Args:
        cells: Histograms by model and group.
        strata: The strata to compare.

    Returns:
        The estimate; None where a group has a single model and there is no second stratum.
    """
    units, sets = _units(cells, strata)
    if not sets:
        return None
    kernels = cells.kernels.copy()
    for stratum in strata:
        _, i, j = np.intersect1d(cells.model[stratum.first], cells.model[stratum.second], return_indices=True)
        first, second = stratum.first[i], stratum.second[j]
        kernels[first] = kernels[second] = np.minimum(kernels[first], kernels[second])
    shares = cells.shares.reshape(len(cells.counts), -1)
    sides = []
    for name in ("first", "second"):
        members = np.concatenate([getattr(stratum, name) for stratum in strata])
        codes = np.repeat(np.arange(len(strata)), [len(getattr(stratum, name)) for stratum in strata])
        side = _Side(cells=members, stratum=codes, weight=size_weight(kernels[members]))
        kept = np.array([np.ones(len(members), np.bool_), *(~np.isin(members, unit) for unit in units)])
        coefficients = side.coefficients(kept)
        means = (coefficients @ shares[members]).reshape(-1, *cells.counts.shape[1:])
        # One over the number of kernels of one distribution whose histogram would be as noisy.
        noise = (coefficients**2) @ (1 / cells.kernels[members])
        sides.append((means, noise))
    p, q = _smoothed(*sides)
    estimate = _jackknife(p, q, cells.weights, sets)
    if estimate is None:
        return None
    unmatched = _unmatched(sides[0][0][0], sides[1][0][0], cells.weights)
    return replace(estimate, variance=estimate.variance + (UNKNOWN_LOG * unmatched) ** 2)


def _unmatched(first: Array, second: Array, weights: Array) -> float:
    """Return the share of kernels in bins that the other side lacks, of both sides and weighted over components.

    It is the derivative of the drift by the log of a probability that all of these bins have in common.

    Args:
        first: Mean distribution of one side [components, bins].
        second: That of the other.
        weights: Weights of the components [components].
    """
    shares = np.where(second == 0, first, 0) + np.where(first == 0, second, 0)
    return float(weights @ shares.sum(-1))


def _smoothed(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
    """Add a pseudo-count of kernels to the bins that either side has filled; the other bins do not count.

    It is larger where a unit is left out, so that the jackknife corrects for it as for all that falls with the number
    of kernels.
    """
    filled = (first[0][0] + second[0][0]) > 0
    smoothed = []
    for means, noise in (first, second):
        pseudo = (PSEUDO_COUNT * noise)[:, None, None] * filled
        smoothed.append(np.where(filled, (means + pseudo) / (1 + pseudo.sum(-1, keepdims=True)), 1.0))
    return smoothed[0], smoothed[1]


def _jackknife(p: Array, q: Array, weights: Array, sets: list[Indices]) -> DriftEstimate | None:
    """Return the estimate from the distributions [1 + units, components, bins] with all and without each unit."""
    drifts = paired_drift(p, q, weights)
    column = weights[:, None]
    scale = np.sqrt(2 * column / (p[0] + q[0]))
    gradient_p = column * (np.log(p[0] / q[0]) + 1 - q[0] / p[0])
    gradient_q = column * (np.log(q[0] / p[0]) + 1 - p[0] / q[0])
    bias, jackknife, variances, spreads = 0.0, 0.0, [], []
    contributions = np.empty((len(p) - 1, p[0].size))
    for members in sets:
        n = len(members)
        bias += (n - 1) * float(drifts[1 + members].mean() - drifts[0])
        jackknife += (n - 1) ** 2 / n * float(drifts[1 + members].var(ddof=1))
        dp, dq = ((n - 1) / n * (x[0] - x[1 + members]) for x in (p, q))
        contributions[members] = ((dp - dq) * scale).reshape(n, -1)
        slopes = (dp * gradient_p + dq * gradient_q).sum((-1, -2))
        variances.append(n * float(slopes.var(ddof=1)))
        spreads.append(n * float(contributions[members].var(0, ddof=1).sum()))
    moments = variance_moments(contributions @ contributions.T, sets)
    if moments is None:
        return None
    along, in_all_directions = _degrees_of_freedom(variances, sets), _degrees_of_freedom(spreads, sets)
    return DriftEstimate(
        estimate=float(drifts[0] - bias),
        variance=max(sum(variances), jackknife - 2 * moments.variance_of_squared_length),
        degrees_of_freedom=math.sqrt(along * min(along, in_all_directions)),
        moments=moments,
    )


def _degrees_of_freedom(variances: list[float], sets: list[Indices]) -> float:
    parts = sum(v**2 / (len(members) - 1) for v, members in zip(variances, sets, strict=True))
    return sum(variances) ** 2 / parts if parts > 0 else 1.0


def _units(cells: ModelGroupHistograms, strata: tuple[Stratum, ...]) -> tuple[list[Indices], list[Indices]]:
    """Return the cells that are left out together, and the units of each set of units of one kind."""
    units: list[Indices] = []
    sets: list[Indices] = []
    whole: list[Indices] = []
    for stratum in strata:
        first, second = stratum.first, stratum.second
        if min(len(first), len(second)) == 1:
            whole.append(np.concatenate([first, second]))
            continue
        both, i, j = np.intersect1d(cells.model[first], cells.model[second], return_indices=True)
        kinds = [
            list(np.stack([first[i], second[j]], axis=1)),
            list(first[~np.isin(cells.model[first], both)][:, None]),
            list(second[~np.isin(cells.model[second], both)][:, None]),
        ]
        kinds.sort(key=len)
        while len(kinds) > 1 and len(kinds[0]) < 2:
            kinds[-1] = kinds[-1] + kinds.pop(0)
        for kind in kinds:
            sets.append(np.arange(len(units), len(units) + len(kind)))
            units += kind
    if len(whole) > 1:
        sets.append(np.arange(len(units), len(units) + len(whole)))
        units += whole
    return units, sets
