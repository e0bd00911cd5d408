"""Estimates of the drift between populations: bias, units that are left out, and what they do not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from filtercrawl_analysis.statistics.drift.jackknife import estimate_drift
from filtercrawl_analysis.statistics.drift.model_histograms import common_strata, single_stratum
from support.drift_populations import Population, crossed_groups, lognormal, true_drift, two_groups

FIRST = Population(spread=0.1, components=4)
SECOND = replace(FIRST, shift=0.5)


@pytest.mark.parametrize("kernels", [100, 2000])
def test_the_mean_estimate_is_the_true_drift_where_d_is_not(kernels: int) -> None:
    """Histograms of few kernels have empty bins: D of the pooled kernels is mostly its floor."""
    true = true_drift(FIRST, SECOND)
    estimates = []
    for seed in range(60):
        cells = two_groups(np.random.default_rng(seed), (FIRST, SECOND), (6, 9), (lognormal(kernels),) * 2)
        found = estimate_drift(cells, single_stratum(cells, 0, 1))
        assert found is not None
        estimates.append(found.estimate)
    assert np.mean(estimates) == pytest.approx(true, rel=0.06)


def test_no_drift_is_estimated_as_nearly_zero() -> None:
    estimates = []
    for seed in range(60):
        cells = two_groups(np.random.default_rng(seed), (FIRST, FIRST), (6, 6), (lognormal(200), lognormal(5000)))
        found = estimate_drift(cells, single_stratum(cells, 0, 1))
        assert found is not None
        estimates.append(found.estimate)
    assert abs(np.mean(estimates)) < 0.01
    assert min(estimates) < 0 < max(estimates)


def test_bins_that_one_side_lacks_widen_the_interval_by_what_their_log_is_not_known() -> None:
    for shift, kernels, most in ((5.0, 100, 2.0), (0.1, 100_000, 0.0)):
        populations = Population(components=4), Population(components=4, shift=shift)
        cells = two_groups(np.random.default_rng(0), populations, (6, 6), (lognormal(kernels),) * 2)
        found = estimate_drift(cells, single_stratum(cells, 0, 1))
        assert found is not None
        first, second = (cells.shares[cells.group == group].sum(0) for group in (0, 1))
        alone = (first * (second == 0) + second * (first == 0)) / 6
        unmatched = float(cells.weights @ alone.sum(-1))
        assert 0.4 * most <= unmatched <= most
        assert found.variance > (0.5 * unmatched) ** 2 * 0.9  # weights of models differ a little
        assert found.variance < 1.5


def test_what_both_parts_of_a_model_share_does_not_widen_the_interval() -> None:
    wide = replace(FIRST, spread=0.5), replace(SECOND, spread=0.5)
    cells = crossed_groups(np.random.default_rng(0), wide, 12, (lognormal(2000),) * 2)
    apart = replace(cells, model=np.arange(24))
    paired, unpaired = (estimate_drift(c, single_stratum(c, 0, 1)) for c in (cells, apart))
    assert paired is not None
    assert unpaired is not None
    assert paired.variance < unpaired.variance / 4
    assert paired.moments.trace < unpaired.moments.trace / 2


def test_what_is_known_of_cells_is_the_same_for_the_next_pair() -> None:
    cells = crossed_groups(np.random.default_rng(0), (FIRST, SECOND), 6, (lognormal(100), lognormal(5000)))
    kernels = cells.counts.sum(-1).min(-1)
    first = estimate_drift(cells, single_stratum(cells, 0, 1))
    assert np.array_equal(cells.kernels, kernels)
    assert estimate_drift(cells, single_stratum(cells, 0, 1)) == first


def test_a_group_of_one_model_has_no_estimate_but_strata_of_such_have() -> None:
    sizes = (lognormal(500),) * 2
    cells = two_groups(np.random.default_rng(0), (FIRST, SECOND), (1, 5), sizes)
    assert estimate_drift(cells, single_stratum(cells, 0, 1)) is None
    cells = two_groups(np.random.default_rng(0), (FIRST, SECOND), (4, 4), sizes)
    strata = common_strata(cells, np.array([0, 1, 2, 3, 0, 1, 2, 3]), 0, 1)
    found = estimate_drift(cells, strata)
    assert found is not None
    assert found.degrees_of_freedom == pytest.approx(3)


def test_a_single_model_beside_pairs_is_left_out_with_them() -> None:
    cells = crossed_groups(np.random.default_rng(0), (FIRST, SECOND), 6, (lognormal(500),) * 2, alone=(1, 1))
    found = estimate_drift(cells, single_stratum(cells, 0, 1))
    assert found is not None
    assert found.degrees_of_freedom == pytest.approx(7)


def test_all_that_all_cells_have_in_common_has_no_estimate() -> None:
    """Identical cells have no scatter to tell an error from."""
    cells = two_groups(np.random.default_rng(0), (FIRST, FIRST), (3, 3), (lognormal(500),) * 2)
    same = replace(cells, counts=np.repeat(cells.counts[:1], 6, axis=0))
    assert estimate_drift(same, single_stratum(same, 0, 1)) is None
