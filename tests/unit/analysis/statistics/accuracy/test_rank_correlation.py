"""Rank correlation over all and within strata: against SciPy, its test against all permutations, its coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from filtercrawl_analysis.statistics.accuracy.rank_correlation import (
    clustered_correlation,
    permuted_products,
    rank_correlation,
)

FAMILIES = (3, 4, 6, 9)


def random() -> np.random.Generator:
    return np.random.default_rng(0)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=8, max_size=40))
def test_one_stratum_gives_spearmans_correlation(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, np.float64).T
    found = rank_correlation(x, y, np.zeros(len(x), np.int64), 1, random())
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
    else:
        assert found is not None
        assert found.rho == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
        assert found.low <= found.rho <= found.high


def test_strata_are_averaged_with_their_degrees_of_freedom_and_their_levels_play_no_part() -> None:
    strata = np.repeat(np.arange(len(FAMILIES)), FAMILIES)
    x, y = random().standard_normal((2, len(strata)))
    found = rank_correlation(x, y, strata, 1, random())
    each = [spearmanr(x[strata == code], y[strata == code]).statistic for code in range(len(FAMILIES))]
    assert found is not None
    assert found.rho == pytest.approx(np.average(each, weights=np.array(FAMILIES) - 1), abs=1e-12)
    assert found.by_stratum == {code: (n, pytest.approx(each[code])) for code, n in enumerate(FAMILIES)}
    shifted = rank_correlation(x + 100 * strata, y - 50 * strata, strata, 1, random())
    assert shifted is not None
    assert shifted.rho == pytest.approx(found.rho)


def test_p_is_the_share_of_all_permutations_within_strata_that_are_as_large() -> None:
    strata = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
    x, y = random().standard_normal((2, 9))
    a, b = np.flatnonzero(strata == 0), np.flatnonzero(strata == 1)

    def mean(permuted: np.ndarray) -> float:
        return (3 * spearmanr(x[a], permuted[a]).statistic + 4 * spearmanr(x[b], permuted[b]).statistic) / 7

    every = [
        abs(mean(np.concatenate([y[list(first)], y[list(second)]])))
        for first in itertools.permutations(a)
        for second in itertools.permutations(b)
    ]
    exact = np.mean(np.array(every) >= abs(mean(y)) - 1e-12)
    found = rank_correlation(x, y, strata, 20_000, random())
    assert found is not None
    assert found.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))


def test_models_of_clusters_of_one_have_the_usual_correlation_and_test() -> None:
    x, y = random().standard_normal((2, 30))
    usual = rank_correlation(x, y, np.zeros(30, np.int64), 20_000, random())
    found = clustered_correlation(x, y, np.arange(30), 20_000, random())
    assert usual is not None
    assert found is not None
    assert found.rho == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert found.p_value == pytest.approx(usual.p_value, abs=0.02)
    assert (found.low, found.high) == (pytest.approx(usual.low, abs=0.02), pytest.approx(usual.high, abs=0.02))


def test_families_that_differ_in_both_by_chance_are_not_found_more_often_than_stated() -> None:
    clusters = np.repeat(np.arange(8), 6)
    generator, rejected, plain, trials = random(), 0, 0, 300
    for _ in range(trials):
        shifts = 2 * generator.standard_normal((2, 8))
        x, y = shifts[:, clusters] + generator.standard_normal((2, 48))
        found = clustered_correlation(x, y, clusters, 99, generator)
        naive = rank_correlation(x, y, np.zeros(48, np.int64), 99, generator)
        assert found is not None
        assert naive is not None
        rejected += found.p_value <= 0.05
        plain += naive.p_value <= 0.05
    assert rejected / trials < 0.09
    assert plain / trials > 0.2  # what it would be if models were independent


def test_an_interval_of_few_families_is_wide() -> None:
    clusters = np.repeat(np.arange(4), 10)
    x, y = random().standard_normal((2, 40)) + 5 * clusters
    wide = clustered_correlation(x, y, clusters, 999, random())
    narrow = rank_correlation(x, y, np.zeros(40, np.int64), 999, random())
    assert wide is not None
    assert narrow is not None
    assert wide.rho == pytest.approx(narrow.rho)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    assert wide.p_value > 0.05 > narrow.p_value


def test_too_few_models_or_equal_ones_have_no_correlation() -> None:
    x = np.arange(7.0)
    assert clustered_correlation(x, x, np.arange(7), 9, random()) is None
    assert clustered_correlation(np.ones(9), np.arange(9.0), np.arange(9), 9, random()) is None


def test_too_few_degrees_of_freedom_and_unknown_strata_give_nothing() -> None:
    x = np.arange(12.0)
    assert rank_correlation(x, x, np.arange(12) // 2, 9, random()) is None  # pairs
    assert rank_correlation(x, x, np.array([0] * 7 + [-1] * 5), 9, random()) is None
    known = rank_correlation(x, x, np.array([0] * 8 + [-1] * 4), 9, random())
    assert known is not None
    assert (known.models, known.rho, known.p_value) == (8, pytest.approx(1), 0.1)
    assert 0.5 < known.low < known.high <= 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("sizes", [(12,), (40,), (3, 4, 5, 8, 20), (5,) * 20])
@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_intervals_cover_and_tests_reject_as_often_as_they_say(sizes: tuple[int, ...], correlation: float) -> None:
    expected = [
        6 / (math.pi * (n + 1)) * (math.asin(correlation) + (n - 2) * math.asin(correlation / 2)) for n in sizes
    ]  # of a bivariate normal distribution, exactly
    target = np.average(expected, weights=np.array(sizes) - 1)
    strata = np.repeat(np.arange(len(sizes)), sizes)
    generator, covered, rejected, trials = random(), 0, 0, 300
    for _ in range(trials):
        x, noise = generator.standard_normal((2, len(strata)))
        y = correlation * x + math.sqrt(1 - correlation**2) * noise
        found = rank_correlation(x, y, strata, 99, generator)
        assert found is not None
        covered += found.low <= target <= found.high
        rejected += found.p_value <= 0.05
    assert covered / trials > 0.92
    if not correlation:
        assert rejected / trials < 0.09


def test_permutations_in_parts_are_those_of_one_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 12))
    whole = permuted_products(a, b, 100, np.random.default_rng(1))
    monkeypatch.setattr("filtercrawl_analysis.statistics.accuracy.rank_correlation._MAX_NUMBERS", 90)
    parts = permuted_products(a, b, 100, np.random.default_rng(1))
    assert parts == pytest.approx(whole, abs=1e-12)
    assert len(set(whole.round(9).tolist())) > 90
