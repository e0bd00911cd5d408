"""p-values of members of a family: by their rank, and by the tail of the others' distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from scipy.stats import f as f_distribution

from filtercrawl_analysis.statistics.family.outlier_test import MIN_MODELS, rank_p_values, tail_p_values
from filtercrawl_analysis.statistics.groups.resampling import adjust_p_values

DISTANCES = st.lists(st.integers(1, 10**6).map(lambda n: n / 1000), min_size=4, max_size=60)


def tail_by_definition(distances: list[float], member: int) -> float:
    """The p-value from the F distribution, with the others sorted anew for each member."""
    others = sorted((d**0.5 for i, d in enumerate(distances) if i != member), reverse=True)
    m, length = len(others) // 2, distances[member] ** 0.5
    threshold = others[m]
    if length <= threshold:
        return sum(d >= distances[member] for d in distances) / len(distances)
    ratio = (length - threshold) / float(np.mean([other - threshold for other in others[:m]]))
    return (m + 1) / len(distances) * float(f_distribution.sf(ratio, 2, 2 * m))


@given(DISTANCES)
def test_a_rank_is_the_share_of_members_that_are_at_least_as_far(distances: list[float]) -> None:
    found = rank_p_values(np.array(distances))
    expected = [sum(other >= d for other in distances) / len(distances) for d in distances]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("models", [4, 5, 20, 21, 60])
def test_the_tail_has_the_p_value_of_its_definition(models: int) -> None:
    distances = np.random.default_rng(models).lognormal(size=models)
    expected = [tail_by_definition(distances.tolist(), member) for member in range(models)]
    np.testing.assert_allclose(tail_p_values(distances), expected, rtol=1e-9)


@given(DISTANCES, st.floats(1e-3, 1e3))
def test_the_tail_does_not_depend_on_the_unit_and_follows_the_order(distances: list[float], unit: float) -> None:
    found = tail_p_values(np.array(distances))
    assert ((found > 0) & (found <= 1)).all()
    np.testing.assert_allclose(tail_p_values(np.array(distances) * unit), found, rtol=1e-6, atol=1e-9)
    order = np.argsort(distances, kind="stable")
    assert (np.diff(found[order]) <= 1e-9).all(), "a farther model has no larger p-value"


def test_p_values_of_exponential_lengths_are_uniform() -> None:
    random = np.random.default_rng(0)
    first = np.array([tail_p_values(random.exponential(size=MIN_MODELS) ** 2)[0] for _ in range(3000)])
    for alpha in (0.01, 0.05, 0.2):
        low, high = binom.ppf((0.0005, 0.9995), len(first), alpha)
        assert low <= (first <= alpha).sum() <= high


def test_ranks_tell_nothing_where_all_members_are_looked_at() -> None:
    distances = np.array([1.0] * 29 + [1e6])
    distances[:29] += np.arange(29) / 100
    np.testing.assert_allclose(adjust_p_values(rank_p_values(distances)), 1)
    assert adjust_p_values(tail_p_values(distances))[29] < 1e-9


def test_models_without_any_difference_have_no_tail() -> None:
    np.testing.assert_array_equal(tail_p_values(np.zeros(20)), np.ones(20))
    found = tail_p_values(np.array([0.0] * 19 + [1.0]))
    assert found[19] == 1 / 20, "the rank is all that is known where no two of the others differ"
