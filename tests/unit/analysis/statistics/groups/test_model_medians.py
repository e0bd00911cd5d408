"""Medians over models: intervals, tests and verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from filtercrawl_analysis.statistics.groups.model_medians import (
    adjust,
    compare_medians,
    median_by_model,
    median_interval,
    sign_test,
    verdict,
)


def test_a_model_counts_once_by_the_median_of_its_known_layers() -> None:
    values = np.array([1.0, 5.0, 2.0, np.nan, np.nan, 4.0])
    assert median_by_model(values, ["a", "a", "a", "a", "b", "c"]) == {"a": 2.0, "c": 4.0}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(-1e3, 1e3) | st.just(np.nan)), max_size=30))
def test_medians_are_those_of_numpy_in_the_order_of_the_first_known_layers(layers: list[tuple[str, float]]) -> None:
    models = [model for model, _ in layers]
    values = np.array([value for _, value in layers], np.float64)
    known = [(model, value) for model, value in layers if np.isfinite(value)]
    expected = {
        model: float(np.median([value for other, value in known if other == model]))
        for model in dict.fromkeys(model for model, _ in known)
    }
    found = median_by_model(values, models)
    assert found == expected
    assert list(found) == list(expected)


@given(st.lists(st.integers(-1000, 1000).map(float), min_size=5, max_size=60), st.randoms(use_true_random=False))
def test_intervals_hold_the_median_and_do_not_depend_on_the_order(values: list[float], random: object) -> None:
    interval = median_interval(values)
    assert interval is not None
    low, high = interval
    assert low <= np.median(values) <= high
    assert min(values) <= low
    assert high <= max(values)
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert median_interval(shuffled) == interval


def test_known_intervals() -> None:
    assert median_interval([1.0, 2.0, 3.0, 4.0]) is None
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) == (1.0, 5.0)
    # Of 10 values, the second and ninth cover with 97.9 %, the third and eighth with 89.1 %: between the two.
    low, high = median_interval(np.arange(1.0, 11.0)) or (0, 0)  # type: ignore[arg-type]
    assert 2 < low < 3
    assert high == pytest.approx(11 - low)


def test_the_sign_test_needs_six_models_that_differ() -> None:
    assert sign_test([1.0] * 6, 0.0) == pytest.approx(2 / 64)
    assert sign_test([1.0] * 5, 0.0) is None
    assert sign_test([1.0] * 5 + [0.0] * 20, 0.0) is None
    assert sign_test([1.0, -1.0] * 5, 0.0) == 1.0
    assert sign_test([1.0] * 9 + [-1.0], 0.0) == pytest.approx(binomtest(9, 10).pvalue)


def test_ties_count_against_both_directions_where_asked() -> None:
    values = [1.0] * 9 + [0.0] * 6
    assert sign_test(values, 0.0) == pytest.approx(2 / 512)
    assert sign_test(values, 0.0, count_ties=True) == pytest.approx(binomtest(9, 15).pvalue)
    assert sign_test([1.0] * 5 + [0.0] * 20, 0.0, count_ties=True) is None


def test_models_in_both_sets_are_compared_with_themselves() -> None:
    rest = {f"m{i}": 10.0 * i for i in range(12)}
    group = {model: value + 1 + 0.01 * value for model, value in rest.items()}
    assert (compare_medians(group, rest) or 1) < 0.001
    apart = {f"other {model}": value for model, value in group.items()}
    assert (compare_medians(apart, rest) or 0) > 0.5


def test_sets_of_too_few_models_are_not_compared() -> None:
    three = {f"a{i}": float(i) for i in range(3)}
    assert compare_medians(three, {f"b{i}": 10.0 + i for i in range(3)}) is None
    assert compare_medians(three, {f"b{i}": 10.0 + i for i in range(5)}) is not None
    assert compare_medians(three, {model: value + 1 for model, value in three.items()}) is None


def test_values_that_are_all_equal_are_no_difference() -> None:
    assert compare_medians(dict.fromkeys("abcdef", 1.0), dict.fromkeys("ghijkl", 1.0)) == 1.0


def test_adjusted_p_values_count_tests_only() -> None:
    assert adjust([0.01, None, 0.04]) == [pytest.approx(0.02), None, pytest.approx(0.04)]
    assert adjust([None]) == [None]


@pytest.mark.parametrize(
    ("q", "difference", "expected"),
    [
        (0.05, 1.0, "higher"),
        (0.05, -1.0, "lower"),
        (0.051, 1.0, "not told apart"),
        (0.01, 0.0, "not told apart"),
        (None, 1.0, "too little to tell"),
    ],
)
def test_verdicts(q: float | None, difference: float, expected: str) -> None:
    assert verdict(q, difference) == expected
