"""The test by exchange of models: which p-values it gives, and what it does not depend on."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl_analysis.statistics.drift.model_histograms import ModelGroupHistograms, single_stratum
from filtercrawl_analysis.statistics.drift.permutation_test import (
    ExchangeStatistic,
    exchange_p_value,
    exchange_statistic,
)
from filtercrawl_analysis.statistics.drift.rarefaction import exchange_design
from support.drift_populations import Population, crossed_groups, lognormal, two_groups

SIZES = (lognormal(300), lognormal(900))


def statistic_of(cells: ModelGroupHistograms, seed: int = 0) -> ExchangeStatistic:
    design = exchange_design(cells, single_stratum(cells, 0, 1))
    return exchange_statistic(cells, design, np.random.default_rng(seed))


def groups(models: tuple[int, int], shift: float = 0.0, seed: int = 0) -> ModelGroupHistograms:
    populations = (Population(components=3), Population(components=3, shift=shift))
    return two_groups(np.random.default_rng(seed), populations, models, SIZES)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 5), st.integers(0, 1000))
def test_the_statistic_is_the_distance_of_means_over_its_variance(a: int, b: int, both: int, seed: int) -> None:
    """Inner products give what the distributions of all cells give, in mixed designs as well."""
    random = np.random.default_rng(seed)
    population = Population(components=2)
    cells = crossed_groups(random, (population, population), both, (lambda _, n: np.full(n, 200),) * 2, (a, b))
    statistic = statistic_of(cells)
    (pool,) = statistic.design.pools
    x = cells.shares
    first = np.concatenate([statistic.design.pairs.first, pool.cells[:a]])
    second = np.concatenate([statistic.design.pairs.second, pool.cells[a:]])
    pooled = (x[first].sum(0) + x[second].sum(0)) / (len(first) + len(second))
    n = 200 * (len(first) + len(second))
    difference = (x[first].mean(0) - x[second].mean(0)) * np.sqrt(cells.weights[:, None] / (pooled + 0.5 / n))
    e = statistic.observed()
    squared = statistic.length + 2 * e @ statistic.linear + e @ statistic.gram @ e
    assert squared == pytest.approx((difference**2).sum(), rel=1e-9)


def test_few_assignments_are_enumerated_and_p_is_the_share_that_reaches_the_observed() -> None:
    statistic = statistic_of(groups((3, 4), shift=1.0))
    p = exchange_p_value(statistic, 1000, np.random.default_rng(0))
    assert p == pytest.approx(1 / 35)
    assignments = [np.isin(np.arange(7), chosen).astype(np.float64) for chosen in itertools.combinations(range(7), 3)]
    values = statistic.evaluate(np.array(assignments))
    observed = statistic.evaluate(statistic.observed()[None])[0]
    assert p == np.mean(values >= observed * (1 - 1e-9))


def test_drawn_assignments_agree_with_all_of_them() -> None:
    statistic = statistic_of(groups((6, 6), shift=0.05, seed=3))
    exact = exchange_p_value(statistic, 1000, np.random.default_rng(0))
    drawn = exchange_p_value(statistic, 900, np.random.default_rng(0))
    assert 0.02 < exact < 0.9
    assert drawn == pytest.approx(exact, rel=0.5)


def test_drawing_ends_early_where_the_outcome_is_clear_and_goes_on_where_it_is_not() -> None:
    far = exchange_p_value(statistic_of(groups((12, 12), shift=1.0)), 5000, np.random.default_rng(0))
    assert far == pytest.approx(1 / 5001)
    # 50 hits end it: the p-value is 50 over a number of draws.
    none = exchange_p_value(statistic_of(groups((12, 12), seed=5)), 5000, np.random.default_rng(0))
    assert none == pytest.approx(50 / round(50 / none))
    assert none > 50 / 5000


def test_models_in_both_groups_are_compared_with_themselves() -> None:
    """Models differ much, their two parts little but always the same way: only swapping within models sees it."""
    populations = (Population(spread=0.6, components=3), Population(spread=0.6, components=3, shift=0.15))
    sizes = (lognormal(3000), lognormal(3000))
    cells = crossed_groups(np.random.default_rng(0), populations, 10, sizes)
    apart = replace(cells, model=np.arange(20))
    paired, unpaired = (exchange_p_value(statistic_of(c), 2000, np.random.default_rng(0)) for c in (cells, apart))
    assert paired <= 2 / 1024
    assert unpaired > 0.2


def test_the_p_value_does_not_depend_on_which_group_is_first() -> None:
    population, sizes = Population(components=3), (lambda _, n: np.full(n, 500),) * 2
    cells = two_groups(np.random.default_rng(1), (population, replace(population, shift=0.1)), (5, 4), sizes)
    turned = replace(cells, group=1 - cells.group)
    one, other = (exchange_p_value(statistic_of(c), 1000, np.random.default_rng(0)) for c in (cells, turned))
    assert one == other
    assert 1 / 126 < one < 1
