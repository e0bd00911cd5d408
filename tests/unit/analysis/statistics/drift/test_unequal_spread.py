"""The bound for groups whose models vary differently: where it is cautious, and that it keeps the level."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as t_distribution
from scipy.stats import ttest_ind

from filtercrawl_analysis.statistics.drift.model_histograms import ModelGroupHistograms, single_stratum
from filtercrawl_analysis.statistics.drift.permutation_test import exchange_p_value, exchange_statistic
from filtercrawl_analysis.statistics.drift.rarefaction import exchange_design
from filtercrawl_analysis.statistics.drift.unequal_spread import TAILLESS, SpreadBound, spread_bound
from support.drift_populations import Population, cells_of, crossed_groups, lognormal, two_groups

EQUAL = (Population(spread=0.2, components=3),) * 2
VARIED = (Population(mixture=1.0, components=3), Population(mixture=0.1, components=3))
SIZES = (lognormal(1000),) * 2


def bound_of(cells: ModelGroupHistograms) -> SpreadBound:
    design = exchange_design(cells, single_stratum(cells, 0, 1))
    return spread_bound(exchange_statistic(cells, design, np.random.default_rng(0)))


def bounds(
    populations: tuple[Population, Population], models: tuple[int, int], repetitions: int = 10
) -> list[SpreadBound]:
    draw = (two_groups(np.random.default_rng(seed), populations, models, SIZES) for seed in range(repetitions))
    return [bound_of(cells) for cells in draw]


@pytest.mark.parametrize("models", [(3, 20), (20, 3), (4, 8), (1, 30)])
def test_few_models_against_many_tell_too_little_of_their_spread(models: tuple[int, int]) -> None:
    assert all(bound.cautious for bound in bounds(EQUAL, models, 3))


@pytest.mark.parametrize(("populations", "models", "cautious"), [
    (EQUAL, (8, 8), False),
    (EQUAL, (6, 18), False),
    (VARIED, (8, 8), True),
    (VARIED[::-1], (8, 8), True),
    (VARIED, (6, 18), True),
    (VARIED[::-1], (6, 18), False),  # the large group varies more: exchange rejects too seldom
    (VARIED[::-1], (18, 6), True),
])  # fmt: skip
def test_it_is_cautious_where_unequal_spread_shows_and_matters(
    populations: tuple[Population, Population], models: tuple[int, int], *, cautious: bool
) -> None:
    found = [bound.cautious for bound in bounds(populations, models)]
    assert sum(found) >= 6 if cautious else sum(found) <= 1


def test_models_in_both_groups_need_no_bound() -> None:
    cells = crossed_groups(np.random.default_rng(0), VARIED, 6, SIZES)
    statistic = exchange_statistic(cells, exchange_design(cells, single_stratum(cells, 0, 1)), np.random.default_rng(0))
    bound = spread_bound(statistic)
    assert not bound.cautious
    assert bound.p_value(statistic) == 0.0


def test_without_variance_the_bound_never_decides() -> None:
    bound = SpreadBound(moments=None, cautious=True)
    cells = two_groups(np.random.default_rng(0), EQUAL, (3, 3), SIZES)
    statistic = exchange_statistic(cells, exchange_design(cells, single_stratum(cells, 0, 1)), np.random.default_rng(0))
    assert bound.p_value(statistic) == 0.0
    assert bound.critical_length(0.05) == 0.0


def test_the_critical_length_is_where_the_p_value_is_the_level() -> None:
    cells = two_groups(np.random.default_rng(0), EQUAL, (6, 8), SIZES)
    statistic = exchange_statistic(cells, exchange_design(cells, single_stratum(cells, 0, 1)), np.random.default_rng(0))
    bound = spread_bound(statistic)
    critical = bound.critical_length(bound.length_p_value(statistic))
    assert critical == pytest.approx(statistic.squared_length(), rel=1e-6)


def test_groups_of_unequal_spread_do_not_pass_for_a_shift() -> None:
    """Three models that vary much against twenty that vary little, equal on average."""
    rejected = np.zeros(2)
    for seed in range(40):
        cells = two_groups(np.random.default_rng(seed), VARIED, (3, 20), SIZES)
        design = exchange_design(cells, single_stratum(cells, 0, 1))
        statistic = exchange_statistic(cells, design, np.random.default_rng(0))
        p = exchange_p_value(statistic, 300, np.random.default_rng(0))
        rejected += np.array([p, max(p, spread_bound(statistic).p_value(statistic))]) <= 0.05
    assert rejected[0] >= 8  # by exchange alone
    assert rejected[1] <= 5


def test_few_models_that_are_close_by_chance_do_not_make_a_shift() -> None:
    """Where five models are close in the one direction they vary in, noise of other directions hides that they vary."""
    populations = (Population(mixture=1.0, common=True), Population(mixture=0.1, common=True))
    rejected = np.zeros(2)
    for seed in range(60):
        cells = two_groups(np.random.default_rng(seed), populations, (5, 40), SIZES)
        design = exchange_design(cells, single_stratum(cells, 0, 1))
        statistic = exchange_statistic(cells, design, np.random.default_rng(0))
        bound = spread_bound(statistic)
        rejected += np.array([bound.length_p_value(statistic), bound.p_value(statistic)]) <= 0.01
    assert rejected[0] >= 3
    assert rejected[1] <= 2


def test_along_the_difference_the_p_value_is_that_of_welch_with_fewer_degrees_of_freedom() -> None:
    """All models are on one line: shares of two bins, of so many kernels that counting adds no noise."""
    random = np.random.default_rng(3)
    shares = np.concatenate([0.5 + 0.002 * random.standard_normal(6), 0.503 + 0.001 * random.standard_normal(6)])
    counts = np.zeros((12, 1, 70))
    counts[:, 0, 0] = np.round(1e8 * shares)
    counts[:, 0, 1] = 1e8 - counts[:, 0, 0]
    cells = cells_of([counts[:6], counts[6:]], [np.arange(6), 6 + np.arange(6)], np.ones(1))
    statistic = exchange_statistic(cells, exchange_design(cells, single_stratum(cells, 0, 1)), np.random.default_rng(0))
    bound = SpreadBound(moments=statistic.moments(), cautious=False)
    welch = ttest_ind(shares[:6], shares[6:], equal_var=False)
    expected = 2 * t_distribution.sf(abs(welch.statistic), TAILLESS * welch.df)
    assert bound.p_value(statistic) == pytest.approx(expected, rel=1e-3)
