"""Which cells may exchange sides, and how many kernels they are thinned to."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.statistics.drift.model_histograms import (
    ModelGroupHistograms,
    Stratum,
    common_strata,
    single_stratum,
)
from filtercrawl_analysis.statistics.drift.rarefaction import ExchangeDesign, common_kernels, exchange_design, thin

SIZES = st.lists(st.integers(1, 5000), min_size=1, max_size=12)


def cells(group: Sequence[int], kernels: Sequence[int], model: Sequence[int] | None = None) -> ModelGroupHistograms:
    counts = np.zeros((len(group), 2, 70))
    counts[:, :, 30] = np.array(kernels)[:, None]
    return ModelGroupHistograms(
        group=np.array(group, np.int64),
        model=np.arange(len(group)) if model is None else np.array(model, np.int64),
        counts=counts,
        bin_width=6 / 70,
        weights=np.array([0.7, 0.3]),
        n_groups=2,
    )


def design(found: ModelGroupHistograms) -> ExchangeDesign:
    return exchange_design(found, single_stratum(found, 0, 1))


@given(SIZES, SIZES)
def test_the_common_number_of_kernels_follows_from_sizes_and_leaves_both_groups_cells(
    first: list[int], second: list[int]
) -> None:
    common = common_kernels(np.array(first), np.array(second))
    assert common in {*first, *second}
    kept = [sum(n >= common for n in side) for side in (first, second)]
    assert min(kept) >= 1
    assert common == common_kernels(np.array(second[::-1]), np.array(first[::-1])), "order and sides do not matter"


@given(SIZES, SIZES)
def test_small_groups_keep_what_small_p_values_need(first: list[int], second: list[int]) -> None:
    common = common_kernels(np.array(first), np.array(second))
    kept = [sum(n >= common for n in side) for side in (first, second)]

    def smallest(a: int, b: int) -> float:
        return (2 if a == b else 1) / comb(a + b, a)

    assert smallest(*kept) <= max(0.001, smallest(len(first), len(second)))


def test_a_few_small_cells_of_many_are_left_out() -> None:
    assert common_kernels(np.array([20, *[1000] * 9]), np.array([30, *[800] * 9])) == 800
    assert common_kernels(np.array([20, 1000, 1000]), np.array([1000] * 4)) == 20, "of so few, none"


def test_a_model_in_both_groups_swaps_and_the_others_are_dealt() -> None:
    found = design(cells([0, 0, 0, 1, 1, 1, 1], [50, 70, 80, 90, 20, 75, 80], model=[3, 1, 2, 3, 4, 5, 6]))
    assert (found.pairs.first.tolist(), found.pairs.second.tolist(), found.pairs.kernels.tolist()) == ([0], [3], [50])
    (pool,) = found.pools
    assert sorted(pool.cells.tolist()) == [1, 2, 4, 5, 6]
    assert (pool.n_first, pool.n_second, pool.kernels) == (2, 3, 20)
    assert found.n_assignments == 2 * comb(5, 2)
    assert not found.is_symmetric
    assert found.smallest_p_value == 1 / 20
    assert found.n_models == (3, 4)
    assert found.kernels_per_model == 20


def test_cells_of_one_group_alone_and_single_models_cannot_tell() -> None:
    alone = design(cells([0, 0, 1], [100, 100, 100], model=[0, 1, 0]))
    assert (len(alone.pairs), alone.pools) == (1, ())
    assert alone.smallest_p_value == 1
    single = design(cells([0, 1], [100, 100]))
    assert single.smallest_p_value == 1


def test_strata_of_two_models_are_pairs() -> None:
    found = cells([0, 0, 0, 1, 1, 1], [100] * 6)
    strata = common_strata(found, np.array([0, 1, -1, 0, 1, 2]), 0, 1)
    assert [(s.first.tolist(), s.second.tolist()) for s in strata] == [([0], [3]), ([1], [4])]
    paired = exchange_design(found, strata)
    assert (paired.pairs.stratum.tolist(), paired.pools, paired.n_assignments) == ([0, 1], (), 4)


@given(st.lists(st.integers(0, 40), min_size=5, max_size=5), st.integers(1, 100), st.integers(0, 10))
def test_thinning_is_a_sample_without_replacement(counts: list[int], kernels: int, seed: int) -> None:
    histogram = np.array([counts, counts[::-1]], np.float64)
    kernels = min(kernels, sum(counts))
    if kernels:
        taken = thin(histogram, kernels, np.random.default_rng(seed)) * kernels
        assert taken.sum(1) == pytest.approx([kernels, kernels])
        assert (taken <= histogram + 1e-9).all()
        whole = thin(histogram, int(histogram[0].sum()), np.random.default_rng(seed))
        assert np.array_equal(whole, histogram / histogram.sum(1, keepdims=True))


def test_histograms_too_large_to_draw_from_without_replacement_are_thinned_as_well() -> None:
    taken = thin(np.array([[2e9, 2e9]]), 1000, np.random.default_rng(0))
    assert taken.sum() == pytest.approx(1)
    assert 0.4 < taken[0, 0] < 0.6


def test_strata_are_compared_where_both_groups_have_them() -> None:
    found = cells([0, 0, 1, 1], [10] * 4)
    assert common_strata(found, np.array([0, 1, 2, 2]), 0, 1) == ()
    assert common_strata(found, np.array([-1] * 4), 0, 1) == ()
    assert isinstance(single_stratum(found, 0, 1)[0], Stratum)
