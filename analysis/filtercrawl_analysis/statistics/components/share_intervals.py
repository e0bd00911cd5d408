"""Uncertainty of shares of the variance over models: jackknife intervals, and tests between groups of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from filtercrawl_analysis.numerics.moments import Array, Moments

# With fewer models there is no interval.
MIN_MODELS: Final = 3
LEVEL: Final = 0.05
# Shares are moved into this range before their logit is taken.
_SMALLEST: Final = 1e-12

Shares = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True)
class ShareReplicates:
    """Shares of the variance of a set of models, and with each model left out, as logits.

    Attributes:
        models: Codes of the models, int64 [models].
        estimate: Logit of each share [components].
        replicates: The same without each model [models, components].
        freedom: Degrees of freedom: the effective number of models (Kish) less one, at least one.
    """

    models: NDArray[np.int64]
    estimate: Array
    replicates: Array
    freedom: float

    @property
    def influence(self) -> Array:
        """What each model contributes to the standard error [models, components]; the squares add up to its square."""
        n = len(self.replicates)
        influence: Array = np.sqrt((n - 1) / n) * (self.replicates - self.replicates.mean(0))
        return influence


def ordered_shares(scatter: Array) -> Array:
    """Return the shares of the variance along the principal components of each matrix, [S, taps], largest first."""
    variances = np.maximum(np.linalg.eigvalsh(scatter)[:, ::-1], 0)
    shares: Array = variances / variances.sum(1, keepdims=True)
    return shares


def shares_along(vectors: Array) -> Shares:
    """Return a function of matrices [S, taps, taps] that gives the shares of variance along orthonormal rows."""

    def shares(scatter: Array) -> Array:
        variances = np.maximum(np.einsum("ij,sjk,ik->si", vectors, scatter, vectors, optimize=True), 0)
        result: Array = variances / variances.sum(1, keepdims=True)
        return result

    return shares


def jackknife_shares(moments: Moments, models: NDArray[np.int64], shares: Shares) -> ShareReplicates | None:
    """Return shares of all models together and without each of them.

    Args:
        moments: Moments of sets of kernels, one or more of each model.
        models: Code of the model of each set, int64 [S].
        shares: Gives the shares [S, components] of scatter matrices [S, taps, taps].

    Returns:
        The shares; None for fewer than three models with kernels, or where the kernels of all but one are equal.
    """
    codes, positions = np.unique(models[moments.n > 0], return_inverse=True)
    if len(codes) < MIN_MODELS:
        return None
    kept = moments.n > 0
    by_model = Moments(n=moments.n[kept], mean=moments.mean[kept], scatter=moments.scatter[kept]).merge(
        positions.astype(np.int64), len(codes)
    )
    total, without = by_model.total(), leave_one_out(by_model)
    scatter = np.concatenate([total.scatter, without.scatter])
    if not (np.trace(scatter, axis1=1, axis2=2) > 0).all():
        return None
    logits = _logit(shares(scatter))
    weights = by_model.n / by_model.n.sum()
    return ShareReplicates(
        models=codes,
        estimate=logits[0],
        replicates=logits[1:],
        freedom=max(1.0, 1 / float((weights**2).sum()) - 1),
    )


def leave_one_out(moments: Moments) -> Moments:
    """Return the moments of the union of all sets but one, for each set."""
    total = moments.total()
    n = moments.n[:, None]
    deviation = moments.mean - total.mean
    around_total = moments.scatter + n[:, :, None] * deviation[:, :, None] * deviation[:, None, :]
    rest = total.n - moments.n
    mean = -n * deviation / rest[:, None]
    scatter = total.scatter - around_total - rest[:, None, None] * mean[:, :, None] * mean[:, None, :]
    return Moments(n=rest, mean=total.mean + mean, scatter=scatter)


def share_intervals(replicates: ShareReplicates) -> tuple[Array, Array]:
    """Return 95 % intervals of shares, by the jackknife over models on the scale of logits.

    Returns:
        Lower and upper ends, [components] each.
    """
    error = np.sqrt((replicates.influence**2).sum(0))
    half = t.ppf(1 - LEVEL / 2, replicates.freedom) * error
    return _share(replicates.estimate - half), _share(replicates.estimate + half)


def compare_shares(first: ShareReplicates, second: ShareReplicates) -> Array:
    """Return p-values, [components], of equal shares in two sets of layers; models may have layers in both."""
    models = np.union1d(first.models, second.models)
    influence = np.zeros((len(models), len(first.estimate)))
    influence[np.searchsorted(models, first.models)] += first.influence
    influence[np.searchsorted(models, second.models)] -= second.influence
    error = np.sqrt((influence**2).sum(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(error > 0, np.abs(first.estimate - second.estimate) / error, 0.0)
    p_values: Array = 2 * t.sf(statistic, min(first.freedom, second.freedom))
    return p_values


def are_distinct(low: Array, high: Array) -> NDArray[np.bool_]:
    """Return for each component, in descending order of its share, whether its interval overlaps with no neighbor's."""
    apart = np.concatenate([[True], high[1:] < low[:-1], [True]])
    distinct: NDArray[np.bool_] = apart[:-1] & apart[1:]
    return distinct


def overlapping_runs(low: Sequence[float], high: Sequence[float]) -> list[list[int]]:
    """Group consecutive components, in descending order of their shares, whose intervals overlap with the next one."""
    starts = [0]
    for i in range(1, len(low)):
        starts.append(starts[-1] + (high[i] < low[i - 1]))
    return [[i for _, i in run] for _, run in groupby(zip(starts, range(len(low)), strict=True), key=lambda x: x[0])]


def _logit(shares: Array) -> Array:
    clipped = np.clip(shares, _SMALLEST, 1 - _SMALLEST)
    logit: Array = np.log(clipped / (1 - clipped))
    return logit


def _share(logits: Array) -> Array:
    share: Array = 1 / (1 + np.exp(-logits))
    return share
