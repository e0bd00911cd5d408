"""What the models of two groups tell about their drift: p-value, interval, verdict and detectable drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import norm
from scipy.stats import t as t_distribution

from filtercrawl_analysis.statistics.drift.jackknife import DriftEstimate, estimate_drift
from filtercrawl_analysis.statistics.drift.model_histograms import ModelGroupHistograms, Stratum
from filtercrawl_analysis.statistics.drift.permutation_test import (
    exchange_p_value,
    exchange_statistic,
)
from filtercrawl_analysis.statistics.drift.rarefaction import ExchangeDesign, exchange_design
from filtercrawl_analysis.statistics.drift.unequal_spread import (
    SPREAD_LEVEL,
    SpreadBound,
    critical_excess,
    spread_bound,
)
from filtercrawl_analysis.statistics.drift.unit_variance import VarianceMoments
from filtercrawl_analysis.statistics.groups.resampling import LEVEL, adjust_p_values

Verdict = Literal["differs", "no difference found", "too little to tell"]

# Probability with which the detectable drift is found.
POWER: Final = 0.8
# Variance between models along a shift, over that along the average direction: populations that are shifted differ in
# what also varies between models. In the study of docs/calibration.md, with this value the power is near 80 %.
SHIFT_DIRECTION: Final = 3.0
# Of the smallest p-value, the tail of the statistic beyond the largest of all other assignments.
SINGLE_RANK: Final = 0.03
# Assignments for each test of a table, so that the smallest p-value stays significant after adjustment; and a bound.
DRAWS_PER_TEST: Final = 40
MAX_DRAWS_OF_TABLE: Final = 100_000
# Lower end of an interval where the p-value excludes zero and the standard error alone does not.
SMALLEST_LOW: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class DriftInference:
    """What the models of two groups tell about their drift, before other pairs are taken into account.

    Attributes:
        design: The models that the test exchanges.
        p_value: The p-value; None if nothing can be exchanged or nothing was drawn.
        smallest_p_value: The smallest that was possible.
        estimate: The drift of the populations; None if unknown.
        low: Lower end of its 95 % interval, 0 exactly where the p-value exceeds 0.05.
        high: Upper end.
        moments: Moments of the difference under the null hypothesis; None if unknown.
        bound: The bound on p-values for unequal spread; None without a test.
        reason: Why there is no p-value or no interval.
    """

    design: ExchangeDesign
    p_value: float | None
    smallest_p_value: float
    estimate: float | None
    low: float | None
    high: float | None
    moments: VarianceMoments | None
    bound: SpreadBound | None
    reason: str | None

    @property
    def can_reject(self) -> bool:
        """Whether the test could give a p-value of at most 0.05: known from sizes alone."""
        return self.p_value is not None and self.smallest_p_value <= LEVEL


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdict on a pair among the pairs of a table.

    Attributes:
        q_value: The p-value adjusted over the table; None for a pair that could not be rejected.
        verdict: The verdict.
        detectable: The drift that the test finds with 80 % probability; None if unknown.
        reason: What the verdict rests on, where that is not the adjusted p-value alone.
    """

    q_value: float | None
    verdict: Verdict
    detectable: float | None
    reason: str | None


def infer_drift(
    cells: ModelGroupHistograms, strata: tuple[Stratum, ...], max_draws: int, random: np.random.Generator
) -> DriftInference:
    """Test whether two groups have equal distributions, and estimate their drift.

    Args:
        cells: Histograms by model and group.
        strata: The strata to compare.
        max_draws: Most random assignments; 0 for no test.
        random: Source of random numbers.
    """
    design = exchange_design(cells, strata)
    smallest = max(design.smallest_p_value, 1 / (max_draws + 1))
    p_value, moments, bound, reason = None, None, None, None
    if max_draws < 1:
        reason = "not tested: no resamples"
    elif design.smallest_p_value >= 1:
        reason = "not tested: no models to exchange"
    else:
        statistic = exchange_statistic(cells, design, random)
        moments = statistic.moments()
        bound = spread_bound(statistic)
        p_value = max(exchange_p_value(statistic, max_draws, random), bound.p_value(statistic))
        if design.smallest_p_value > LEVEL:
            reason = f"{design.n_assignments} assignments of models: p cannot be below {design.smallest_p_value:.2g}"
    estimated = estimate_drift(cells, strata)
    low, high = drift_interval(estimated, p_value, smallest_p_value=smallest) if estimated else (None, None)
    if estimated is None and reason is None:
        reason = "a group of one model: no interval, and p is valid if it varies as the other models do"
    if reason is None and bound is not None and bound.cautious:
        reason = "models may vary more in one group than in the other: only large drifts are told"
    return DriftInference(
        design=design,
        p_value=p_value,
        smallest_p_value=smallest,
        estimate=None if estimated is None else max(estimated.estimate, 0.0),
        low=low,
        high=high,
        moments=moments,
        bound=bound,
        reason=reason,
    )


def draws_of_table(resamples: int, n_tests: int) -> int:
    """Return the most random assignments of each test of a table.

    Args:
        resamples: The number that was asked for, raised for tables of many tests; 0 for no tests.
        n_tests: Number of tests in the table.
    """
    return max(resamples, min(DRAWS_PER_TEST * n_tests, MAX_DRAWS_OF_TABLE)) if resamples else 0


def drift_interval(
    estimated: DriftEstimate, p_value: float | None, *, smallest_p_value: float = 0.0
) -> tuple[float, float]:
    """Return the 95 % interval of the drift of two populations: the drifts under which the estimate is not extreme.

    Under a drift D, the estimate has mean D and a variance of two parts: that of equal populations, and one in
    proportion to D. Where the p-value is known, the interval has zero exactly where the test accepts it; where the test
    cannot reject, all of the error is at the upper end.

    Args:
        estimated: The estimate.
        p_value: The p-value of equal distributions; None if there is none.
        smallest_p_value: The smallest that was possible.
    """
    moments, estimate = estimated.moments, estimated.estimate
    one_sided = p_value is not None and smallest_p_value > LEVEL
    tail = LEVEL if one_sided else LEVEL / 2
    z = float(t_distribution.ppf(1 - tail, estimated.degrees_of_freedom))
    null_variance = moments.variance_of_squared_length
    per_drift = estimated.variance / max(estimate + moments.trace, moments.trace)
    center = estimate + z**2 * per_drift / 2
    half = np.sqrt(max(center**2 - estimate**2 + z**2 * null_variance, 0.0))
    low, high = max(float(center - half), 0.0), max(float(center + half), 0.0)
    if p_value is not None and p_value > LEVEL:
        low = 0.0
    elif p_value is not None:
        low = max(low, SMALLEST_LOW)
    return low, max(high, low)


def detectable_drift(
    moments: VarianceMoments, bound: SpreadBound | None, level: float, smallest_p_value: float
) -> float:
    """Return the drift that a test of this level finds with a probability of about 80 %.

    The statistic is taken as a noncentral chi-square variable, scaled, over its estimated variance.

    Args:
        moments: Moments of the difference under the null hypothesis.
        bound: The bound on p-values for unequal spread, if there is one.
        level: Largest p-value that is significant.
        smallest_p_value: The smallest p-value that is possible.
    """
    ranks = max(int(level / smallest_p_value + 1e-9), 1)
    # With a single significant rank, the statistic has to exceed the largest of all others, which varies much itself.
    tail = smallest_p_value * (ranks if ranks > 1 else SINGLE_RANK)
    n, df, power = moments.n_directions, moments.degrees_of_freedom, POWER
    critical = moments.trace * float(f_distribution.isf(tail, n, df))
    variance = min(SHIFT_DIRECTION / n, 1) * moments.trace
    if bound is not None and bound.moments is not None:
        critical = max(critical, bound.critical_length(level))
        critical = max(critical, moments.trace + critical_excess(moments, level, variance, POWER))
        if bound.cautious:
            df = bound.moments.degrees_of_freedom
        else:  # groups of equal spread are sometimes taken to differ in it, and then a drift of this size is not found
            power = POWER / (1 - SPREAD_LEVEL)
    z = float(norm.ppf(power))
    excess = critical - moments.trace
    null_variance = 2 * moments.trace**2 / n + 2 * critical**2 / df
    center = excess + 2 * z**2 * variance
    return float(center + np.sqrt(max(center**2 - excess**2 + z**2 * null_variance, 0.0)))


def judge(inferences: Sequence[DriftInference]) -> list[Judgement]:
    """Return the verdicts on all pairs of a table.

    p-values are adjusted over all tests that could be significant (Benjamini and Hochberg 1995). Which these are
    follows from sizes alone, so that leaving out the others keeps the false discovery rate.

    Args:
        inferences: What is known of each pair.
    """
    p_values = np.array([i.p_value if i.can_reject and i.p_value is not None else np.nan for i in inferences])
    q_values = adjust_p_values(p_values)
    n_tests = int(np.isfinite(p_values).sum())
    # Any p-value up to this would have been significant among the others of the table.
    level = LEVEL * (int((q_values <= LEVEL).sum()) + 1) / max(n_tests, 1)
    return [_judge(i, float(q), min(level, LEVEL), n_tests) for i, q in zip(inferences, q_values, strict=True)]


def _judge(inference: DriftInference, q_value: float, level: float, n_tests: int) -> Judgement:
    if not np.isfinite(q_value) or inference.p_value is None:
        return Judgement(q_value=None, verdict="too little to tell", detectable=None, reason=inference.reason)
    smallest = inference.smallest_p_value
    if q_value <= LEVEL:
        return Judgement(q_value=q_value, verdict="differs", detectable=None, reason=inference.reason)
    if smallest > level:
        short = f"p cannot be below {smallest:.2g}; among {n_tests} tests it had to be {level:.2g}"
        return Judgement(q_value=q_value, verdict="too little to tell", detectable=None, reason=short)
    detectable = (
        None if inference.moments is None else detectable_drift(inference.moments, inference.bound, level, smallest)
    )
    reason = inference.reason
    if inference.p_value <= LEVEL:  # which matters more
        reason = f"significant alone, but not among {n_tests} tests"
    return Judgement(q_value=q_value, verdict="no difference found", detectable=detectable, reason=reason)
