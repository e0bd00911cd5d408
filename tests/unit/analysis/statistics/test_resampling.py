"""What chance does to a drift: intervals, nulls and matching, on histograms whose law is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl_analysis.statistics.divergence import paired_drift, pairwise_drift, probabilities
from filtercrawl_analysis.statistics.matched_drift import matched_drift
from filtercrawl_analysis.statistics.resampling import (
    ModelGroupHistograms,
    bootstrap_intervals,
    can_permute,
    group_distributions,
    permutation_null,
    permute_labels,
    random_generator,
)

WIDTH = 6 / 70
SHARES = np.array([0.7, 0.3])


def histogram(random: np.random.Generator, centre: float, n: int = 3000) -> np.ndarray:
    """Counts [2, 70] of normal numbers around a centre."""
    numbers = np.clip(centre + 0.6 * random.standard_normal((2, n)), -2.99, 2.99)
    return np.array([np.histogram(row, 70, (-3, 3))[0] for row in numbers], np.float64)


def cells(
    centres: Sequence[float], group: Sequence[int], model: Sequence[int] | None = None, seed: int = 0
) -> ModelGroupHistograms:
    random = np.random.default_rng(seed)
    return ModelGroupHistograms(
        group=np.array(group, np.int64),
        model=np.arange(len(group)) if model is None else np.array(model, np.int64),
        counts=np.array([histogram(random, centre) for centre in centres]),
        bin_width=WIDTH,
        weights=SHARES,
        n_groups=max(group) + 1,
    )


def drift_of(found: ModelGroupHistograms) -> np.ndarray:
    p = group_distributions(found)
    return pairwise_drift(p, p, SHARES)


def test_distributions_add_up_the_models_of_a_group() -> None:
    found = cells([0.0, 0.3, -0.2], [0, 0, 1])
    p = group_distributions(found)
    assert np.allclose(p[0], probabilities(found.counts[:2].sum(0), WIDTH))
    assert drift_of(found)[0, 1] == pytest.approx(float(paired_drift(p[0], p[1], SHARES)))


def test_a_true_drift_lies_in_its_interval_as_often_as_is_said() -> None:
    """Models vary around their group; the drift of groups of very many models is what intervals are of."""
    spread = 0.15
    random = np.random.default_rng(1)

    def centres(n: int) -> list[float]:
        return [*(spread * random.standard_normal(n)), *(0.5 + spread * random.standard_normal(n))]

    true = drift_of(cells(centres(600), [0] * 600 + [1] * 600))[0, 1]
    covered = 0
    for trial in range(60):
        found = cells(centres(12), [0] * 12 + [1] * 12, seed=trial)
        low, high = bootstrap_intervals(found, drift_of(found), 200, random_generator(trial, "coverage"))
        covered += bool(low[0, 1] <= true <= high[0, 1])
    assert covered >= 48  # 95 % less what a bootstrap of twelve models lacks


def test_p_values_of_groups_that_differ_by_nothing_are_even() -> None:
    random = np.random.default_rng(2)
    found = []
    for trial in range(120):
        sample = cells(list(0.2 * random.standard_normal(10)), [0] * 4 + [1] * 6, seed=trial)
        chance = permutation_null(sample, 0, 1, float(drift_of(sample)[0, 1]), 99, random_generator(trial, "even"))
        assert chance is not None
        found.append(chance.p_value)
    assert np.mean(np.array(found) <= 0.1) == pytest.approx(0.1, abs=0.09)
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


def test_models_with_layers_in_both_groups_are_compared_with_themselves() -> None:
    """Models differ much, their two parts little but always the same way: only swapping within models sees it."""
    centres = np.linspace(-1, 1, 10)
    sample = cells([*centres, *(centres + 0.15)], [0] * 10 + [1] * 10, [*range(10), *range(10)])
    assert sample.models_span_groups
    drift = float(drift_of(sample)[0, 1])
    chance = permutation_null(sample, 0, 1, drift, 400, random_generator(0, "crossed"))
    apart = cells([*centres, *(centres + 0.15)], [0] * 10 + [1] * 10)
    unpaired = permutation_null(apart, 0, 1, drift, 400, random_generator(0, "crossed"))
    assert chance is not None
    assert unpaired is not None
    assert chance.p_value < 0.02
    assert unpaired.p_value > 0.2
    low, high = bootstrap_intervals(sample, drift_of(sample), 100, random_generator(0, "crossed"))
    assert 0 <= low[0, 1] <= high[0, 1]


@pytest.mark.parametrize(("sizes", "known"), [((1, 1), False), ((1, 5), False), ((2, 2), True)])
def test_a_group_of_one_model_has_no_interval(sizes: tuple[int, int], known: bool) -> None:
    group = [0] * sizes[0] + [1] * sizes[1]
    found = cells([0.1 * i for i in range(len(group))], group)
    low, high = bootstrap_intervals(found, drift_of(found), 50, random_generator(0))
    assert np.isfinite(low[0, 1]) == np.isfinite(high[0, 1]) == known
    assert (permutation_null(found, 0, 1, 0.1, 50, random_generator(0)) is None) == (sizes == (1, 1))


def test_no_resamples_no_interval_and_no_null() -> None:
    found = cells([0.0, 0.1, 0.2, 0.3], [0, 0, 1, 1])
    low, _ = bootstrap_intervals(found, drift_of(found), 0, random_generator(0))
    assert np.isnan(low).all()
    assert permutation_null(found, 0, 1, 0.1, 0, random_generator(0)) is None


@settings(deadline=None)
@given(st.sets(st.integers(0, 12), min_size=1), st.sets(st.integers(0, 12), min_size=1), st.integers(0, 10**6))
def test_a_deal_keeps_the_sizes_of_both_sides(first: set[int], second: set[int], seed: int) -> None:
    model = np.array([*sorted(first), *sorted(second)], np.int64)
    sides = np.arange(len(first)), np.arange(len(first), len(model))
    weight, members = permute_labels(*sides, model, 20, np.random.default_rng(seed))
    assert sorted(members.tolist()) == list(range(len(model)))
    assert (weight.sum(1) == len(first)).all()
    both = first & second
    for drawn in weight:
        mine = model[members[drawn == 1]]
        assert len(set(mine.tolist())) == len(mine), "a side has no model twice"
        assert both <= set(mine.tolist())
    # A deal that does more than to swap the sides is possible just where it is said to be.
    patterns = {tuple(sorted(members[drawn == 1].tolist())) for drawn in weight}
    same = {tuple(side.tolist()) for side in sides}
    if not can_permute(*sides, model):
        assert patterns <= same


def test_matching_takes_an_architecture_out_and_leaves_a_shift_in() -> None:
    """Groups of two architectures, three to one and one to three; a shift of 0.5 beside it, or none."""
    stratum = np.array([0] * 12 + [1] * 4 + [0] * 4 + [1] * 12, np.int64)
    group = [0] * 16 + [1] * 16
    jitter = 0.05 * np.random.default_rng(3).standard_normal(32)
    for shift in (0.0, 0.5):
        centres = -0.5 + 1.0 * stratum + shift * np.array(group) + jitter
        sample = cells(list(centres), group)
        plain = permutation_null(sample, 0, 1, float(drift_of(sample)[0, 1]), 400, random_generator(0, "plain"))
        found = matched_drift(sample, stratum, 0, 1, 400, random_generator(0, "matched"))
        assert plain is not None
        assert found is not None
        assert found.null is not None
        assert plain.p_value <= 0.1
        assert (found.n_strata, found.models_a, found.models_b) == (2, 16, 16)
        assert (found.min_models, found.max_models) == (4, 12)
        assert (found.null.p_value <= 0.05) == bool(shift)
        assert (found.low is not None and found.low > found.null.upper) == bool(shift)


def test_a_matched_drift_weighs_architectures_alike() -> None:
    stratum = np.array([0, 0, 0, 1, 0, 1, 1], np.int64)
    sample = cells([0.0, 0.1, 0.2, 1.0, -0.3, 0.6, 0.7], [0, 0, 0, 0, 1, 1, 1])
    found = matched_drift(sample, stratum, 0, 1, 10, random_generator(0))

    def side(group: int) -> np.ndarray:
        parts = [sample.counts[(sample.group == group) & (stratum == s)].sum(0) for s in (0, 1)]
        return probabilities(np.mean([part / part.sum(1, keepdims=True) for part in parts], axis=0), WIDTH)

    assert found is not None
    assert found.drift == pytest.approx(float(paired_drift(side(0), side(1), SHARES)), rel=1e-12)


def test_groups_without_a_common_architecture_are_not_matched() -> None:
    sample = cells([0.0, 0.1, 0.2, 0.3], [0, 0, 1, 1])
    assert matched_drift(sample, np.array([0, 1, 2, 2]), 0, 1, 10, random_generator(0)) is None
    assert matched_drift(sample, np.array([-1, -1, -1, -1]), 0, 1, 10, random_generator(0)) is None
    single = matched_drift(sample, np.array([0, -1, 0, -1]), 0, 1, 10, random_generator(0))
    assert single is not None
    assert single.low is single.high is single.null is None
    assert (single.n_strata, single.models_a, single.models_b) == (1, 1, 1)


def test_numbers_drawn_depend_on_the_seed_and_the_purpose_alone() -> None:
    first = random_generator(1, "task", "3x3").random(3)
    assert np.array_equal(first, random_generator(1, "task", "3x3").random(3))
    assert not np.array_equal(first, random_generator(2, "task", "3x3").random(3))
    assert not np.array_equal(first, random_generator(1, "task", "5x5").random(3))
