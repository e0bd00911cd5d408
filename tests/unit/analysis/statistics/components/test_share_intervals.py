"""Jackknife of shares of the variance over models, against leaving models out of the kernels themselves."""

from __future__ import annotations

import numpy as np
import pytest

from filtercrawl_analysis.numerics.moments import Moments
from filtercrawl_analysis.statistics.components.share_intervals import (
    are_distinct,
    compare_shares,
    jackknife_shares,
    leave_one_out,
    ordered_shares,
    share_intervals,
)


def moments_of(sets: list[np.ndarray]) -> Moments:
    means = [kernels.mean(0) for kernels in sets]
    scatters = [(kernels - mean).T @ (kernels - mean) for kernels, mean in zip(sets, means, strict=True)]
    return Moments(n=np.array([len(k) for k in sets], np.float64), mean=np.array(means), scatter=np.array(scatters))


def drawn(models: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal((10 + 7 * i, 4)) * (4, 3, 2, 1) + random.standard_normal(4) for i in range(models)]


def test_a_set_left_out_is_as_if_it_were_not_there() -> None:
    sets = drawn(5)
    found = leave_one_out(moments_of(sets))
    for i in range(5):
        expected = moments_of([np.concatenate(sets[:i] + sets[i + 1 :])])
        assert found.n[i] == expected.n[0]
        np.testing.assert_allclose(found.mean[i], expected.mean[0])
        np.testing.assert_allclose(found.scatter[i], expected.scatter[0])


def test_sets_of_one_model_are_left_out_together() -> None:
    sets = drawn(8)
    models = np.array([7, 7, 1, 1, 1, 4, 4, 7])
    found = jackknife_shares(moments_of(sets), models, ordered_shares)
    assert found is not None
    assert found.models.tolist() == [1, 4, 7]
    for code, logits in zip(found.models, found.replicates, strict=True):
        rest = np.concatenate([kernels for kernels, model in zip(sets, models, strict=True) if model != code])
        shares = ordered_shares(np.cov(rest.T)[None])[0]
        np.testing.assert_allclose(1 / (1 + np.exp(-logits)), shares)
    low, high = share_intervals(found)
    assert ((low > 0) & (low < high) & (high < 1)).all()


def test_too_few_models_and_equal_kernels_have_no_interval() -> None:
    assert jackknife_shares(moments_of(drawn(2)), np.arange(2), ordered_shares) is None
    equal = [np.ones((5, 4))] * 4
    assert jackknife_shares(moments_of(equal), np.arange(4), ordered_shares) is None


def test_a_set_of_layers_does_not_differ_from_itself() -> None:
    found = jackknife_shares(moments_of(drawn(6)), np.arange(6), ordered_shares)
    assert found is not None
    assert compare_shares(found, found).tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("low", "high", "distinct"),
    [
        ([0.5, 0.2, 0.1], [0.6, 0.3, 0.15], [True, True, True]),
        ([0.5, 0.2, 0.18], [0.6, 0.3, 0.25], [True, False, False]),
        ([0.9], [0.95], [True]),
    ],
)
def test_components_are_distinct_where_no_interval_of_a_neighbor_overlaps(
    low: list[float], high: list[float], distinct: list[bool]
) -> None:
    assert are_distinct(np.array(low), np.array(high)).tolist() == distinct
