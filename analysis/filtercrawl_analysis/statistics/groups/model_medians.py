"""Medians over models, with the model as the unit: intervals, and tests against a value and between groups.

Layers of one model are not independent, so each model counts once, by the median of its layers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from scipy.stats import binom, false_discovery_control, mannwhitneyu, ttest_ind, wilcoxon

from filtercrawl_analysis.numerics.moments import Array

LEVEL: Final = 0.05
HIGHER: Final = "higher"
LOWER: Final = "lower"
NOT_TOLD_APART: Final = "not told apart"
TOO_LITTLE: Final = "too little to tell"
# With fewer models, not even the range of their values covers the median with a probability near 95 %.
MIN_MODELS: Final = 5


def median_by_model(values: Array, models: Sequence[str]) -> dict[str, float]:
    """Return the median of the finite values of each model; models without one are left out."""
    finite = np.flatnonzero(np.isfinite(values))
    places: dict[str, int] = {}
    model_of_value = np.array([places.setdefault(models[i], len(places)) for i in finite.tolist()], np.int64)
    ordered = values[finite][np.lexsort((values[finite], model_of_value))]
    counts = np.bincount(model_of_value, minlength=len(places))
    first = np.cumsum(counts) - counts
    medians = (ordered[first + (counts - 1) // 2] + ordered[first + counts // 2]) / 2
    return dict(zip(places, medians.tolist(), strict=True))


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the median by interpolated order statistics (Hettmansperger and Sheather 1986).

    Args:
        values: A value of each model.

    Returns:
        Both ends; None for fewer than five models. Of five, the smallest and largest value, which cover the median with
        a probability of 94 %.
    """
    n, ordered = len(values), np.sort(values)
    if n < MIN_MODELS:
        return None
    depth = int(binom.ppf(LEVEL / 2, n, 0.5))
    if depth == 0:
        return float(ordered[0]), float(ordered[-1])
    inner, outer = (1 - 2 * float(binom.cdf(d - 1, n, 0.5)) for d in (depth + 1, depth))
    share = (outer - (1 - LEVEL)) / (outer - inner)
    weight = (n - depth) * share / (depth + (n - 2 * depth) * share)
    low = ordered[depth - 1] + weight * (ordered[depth] - ordered[depth - 1])
    high = ordered[n - depth] + weight * (ordered[n - depth - 1] - ordered[n - depth])
    return float(low), float(high)


def sign_test(values: Sequence[float], reference: float, *, count_ties: bool = False) -> float | None:
    """Return the p-value of a median at `reference`; None where it cannot reach 0.05 (below six models).

    Args:
        values: One value a model.
        reference: The median under the hypothesis.
        count_ties: Whether values equal to the reference count against both directions; without it they are left out.
    """
    differences = np.asarray(values) - reference
    above, below = int((differences > 0).sum()), int((differences < 0).sum())
    if 2 * 0.5 ** (above + below) > LEVEL:
        return None
    n = len(differences) if count_ties else above + below
    return min(2 * float(binom.sf(max(above, below) - 1, n, 0.5)), 1.0)


def compare_medians(group: Mapping[str, float], rest: Mapping[str, float]) -> float | None:
    """Return the p-value of equal values in a group of layers and in the rest, of models that may be in both.

    Models with layers in both are compared with themselves by Wilcoxon's signed-rank test; models in one of them only
    are left out. Without such models, the two sets of models are compared by the larger p-value of two tests: Mann and
    Whitney's rejects too often where the sets differ in spread, as they do if the models of one have fewer layers;
    Welch's does where values are skewed (see the calibration study).

    Args:
        group: Median of each model's layers in the group.
        rest: Median of each model's other layers.

    Returns:
        The p-value; None where so few models cannot give one up to 0.05.
    """
    both = sorted(group.keys() & rest.keys())
    if both:
        differences = np.array([group[model] - rest[model] for model in both])
        if 2 * 0.5 ** int((differences != 0).sum()) > LEVEL:
            return None
        return float(wilcoxon(differences).pvalue)
    a, b = len(group), len(rest)
    if 2 / math.comb(a + b, a) > LEVEL:
        return None
    values = list(group.values()), list(rest.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that are all equal, whose p-value is NaN
        rank_test, welch_test = mannwhitneyu(*values), ttest_ind(*values, equal_var=False)
    return float(np.fmax(rank_test.pvalue, welch_test.pvalue))


def adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted for their number (Benjamini and Hochberg 1995); None is no test and stays None."""
    known = [p for p in p_values if p is not None]
    adjusted = iter(false_discovery_control(known).tolist() if known else [])
    return [None if p is None else next(adjusted) for p in p_values]


def verdict(q: float | None, difference: float) -> str:
    """Return `higher` or `lower` where the adjusted p-value is at most 0.05; else what that means.

    Args:
        q: Adjusted p-value; None without a test.
        difference: Sign of what is compared.
    """
    if q is None:
        return TOO_LITTLE
    if q > LEVEL or difference == 0:
        return NOT_TOLD_APART
    return HIGHER if difference > 0 else LOWER
