"""Intervals that agree with their p-values, and verdicts of pairs among the pairs of a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl_analysis.statistics.drift.inference import (
    DriftInference,
    detectable_drift,
    draws_of_table,
    drift_interval,
    infer_drift,
    judge,
)
from filtercrawl_analysis.statistics.drift.jackknife import estimate_drift
from filtercrawl_analysis.statistics.drift.model_histograms import single_stratum
from filtercrawl_analysis.statistics.drift.rarefaction import ExchangeDesign, Pairs
from filtercrawl_analysis.statistics.drift.unequal_spread import SpreadBound
from filtercrawl_analysis.statistics.drift.unit_variance import VarianceMoments
from support.drift_populations import Population, lognormal, two_groups

NONE = np.array([], np.int64)
DESIGN = ExchangeDesign(pairs=Pairs(first=NONE, second=NONE, kernels=NONE, stratum=NONE), pools=())
MOMENTS = VarianceMoments(trace=0.1, trace_of_square=0.0002, degrees_of_freedom=500.0)


def inference(p: float | None, smallest: float = 0.0005) -> DriftInference:
    return DriftInference(
        design=DESIGN,
        p_value=p,
        smallest_p_value=smallest,
        estimate=0.1,
        low=0.0,
        high=0.2,
        moments=MOMENTS,
        bound=None,
        reason=None if p is not None else "not tested",
    )


def infer(models: tuple[int, int], shift: float, seed: int, draws: int = 300) -> DriftInference:
    populations = (Population(components=2), Population(components=2, shift=shift))
    random = np.random.default_rng(seed)
    cells = two_groups(random, populations, models, (lognormal(200), lognormal(400)))
    return infer_drift(cells, single_stratum(cells, 0, 1), draws, random)


def test_where_no_p_value_could_be_small_the_whole_error_is_at_the_upper_end() -> None:
    populations = (Population(components=2), Population(components=2, shift=0.3))
    cells = two_groups(np.random.default_rng(0), populations, (3, 3), (lognormal(200),) * 2)
    estimated = estimate_drift(cells, single_stratum(cells, 0, 1))
    assert estimated is not None
    low, high = drift_interval(estimated, 0.1, smallest_p_value=0.1)
    assert low == 0.0
    assert high < drift_interval(estimated, 0.1, smallest_p_value=0.01)[1]
    assert infer((3, 3), 0.3, 0).smallest_p_value > 0.05


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 6), st.integers(2, 6), st.sampled_from([0.0, 0.2, 0.5]), st.integers(0, 1000))
def test_an_interval_excludes_zero_exactly_where_the_p_value_does(a: int, b: int, shift: float, seed: int) -> None:
    found = infer((a, b), shift, seed)
    assert found.p_value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.estimate is not None
    assert (found.low > 0) == (found.p_value <= 0.05)
    assert found.low <= found.high
    assert found.p_value >= found.smallest_p_value


def test_three_against_three_models_are_too_few() -> None:
    found = infer((3, 3), 2.0, 0)
    assert found.smallest_p_value == 0.1
    assert not found.can_reject
    (judged,) = judge([found])
    assert (judged.verdict, judged.q_value) == ("too little to tell", None)
    assert judged.reason == "10 assignments of models: p cannot be below 0.1"


def test_single_models_and_no_resamples_are_not_tested() -> None:
    single = infer((1, 1), 2.0, 0)
    assert (single.p_value, single.low, single.reason) == (None, None, "not tested: no models to exchange")
    none = infer((5, 5), 2.0, 0, draws=0)
    assert (none.p_value, none.reason) == (None, "not tested: no resamples")
    assert none.low is not None
    assert none.low > 0
    one = infer((1, 30), 2.0, 0)
    assert one.p_value is not None
    assert (one.low, one.reason) == (
        None,
        "a group of one model: no interval, and p is valid if it varies as the other models do",
    )


def test_verdicts_follow_the_adjusted_p_values() -> None:
    judged = judge([inference(p) for p in (0.001, 0.012, 0.04, 0.6)])
    assert [j.verdict for j in judged] == ["differs", "differs", "no difference found", "no difference found"]
    assert [j.q_value for j in judged] == pytest.approx([0.004, 0.024, 0.04 * 4 / 3, 0.6])
    assert judged[2].reason == "significant alone, but not among 4 tests"
    assert judged[3].reason is None
    assert judged[0].detectable is None
    assert judged[3].detectable is not None


def test_tests_that_no_outcome_could_make_significant_do_not_count() -> None:
    judged = judge([inference(0.02), *[inference(0.5, smallest=0.1)] * 9, inference(None)])
    assert [j.verdict for j in judged] == ["differs", *["too little to tell"] * 10]
    assert judged[0].q_value == pytest.approx(0.02)
    assert judged[-1].reason == "not tested"


def test_a_pair_that_could_not_have_passed_the_adjustment_is_too_little_to_tell() -> None:
    judged = judge([inference(0.03, smallest=0.03), *[inference(0.5)] * 9])
    assert judged[0].verdict == "too little to tell"
    assert judged[0].reason == "p cannot be below 0.03; among 10 tests it had to be 0.005"
    assert {j.verdict for j in judged[1:]} == {"no difference found"}


@given(st.lists(st.floats(0.0005, 1), min_size=1, max_size=20))
def test_a_smaller_p_value_never_has_the_weaker_verdict(p_values: list[float]) -> None:
    judged = judge([inference(p) for p in p_values])
    differing = [p for p, j in zip(p_values, judged, strict=True) if j.verdict == "differs"]
    others = [p for p, j in zip(p_values, judged, strict=True) if j.verdict != "differs"]
    assert max(differing, default=0) <= min(others, default=1)


def test_more_tests_draw_more_assignments_so_that_one_of_them_can_stand_out() -> None:
    assert draws_of_table(0, 100) == 0
    assert draws_of_table(10_000, 3) == 10_000
    assert 1 / (draws_of_table(10_000, 2000) + 1) < 0.05 / 2000
    assert draws_of_table(10_000, 10**9) == 100_000
    assert draws_of_table(10**6, 10**9) == 10**6


def test_few_models_against_many_are_noted() -> None:
    assert infer((3, 12), 0.0, 0).reason == (
        "models may vary more in one group than in the other: only large drifts are told"
    )
    assert infer((12, 20), 0.0, 0).reason is infer((6, 6), 0.0, 1).reason is None


def test_the_detectable_drift_grows_with_noise_and_with_the_number_of_tests() -> None:
    noisy = VarianceMoments(trace=0.2, trace_of_square=0.0008, degrees_of_freedom=500.0)
    assert detectable_drift(noisy, None, 0.05, 1e-4) == pytest.approx(2 * detectable_drift(MOMENTS, None, 0.05, 1e-4))
    assert detectable_drift(MOMENTS, None, 0.005, 1e-4) > detectable_drift(MOMENTS, None, 0.05, 1e-4)
    assert detectable_drift(MOMENTS, None, 0.05, 0.03) > detectable_drift(MOMENTS, None, 0.05, 1e-4)
    bound = SpreadBound(moments=replace(MOMENTS, trace_of_square=0.005, degrees_of_freedom=4.0), cautious=True)
    assert detectable_drift(MOMENTS, bound, 0.05, 1e-4) > detectable_drift(MOMENTS, None, 0.05, 1e-4)
