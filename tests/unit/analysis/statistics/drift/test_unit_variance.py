"""Moments of the covariance of a sum, against covariances that are known."""

from __future__ import annotations

import numpy as np
import pytest

from filtercrawl_analysis.statistics.drift.unit_variance import variance_moments

DEVIATIONS = np.array([2.0, 1.0, *[0.3] * 20])


def test_moments_are_right_on_average() -> None:
    """Two sets of units with unequal covariances; the sum of n units has n times the covariance of one."""
    random = np.random.default_rng(0)
    covariance = 5 * np.diag(DEVIATIONS**2) + 8 * np.diag(DEVIATIONS[::-1] ** 2)
    found = []
    for _ in range(400):
        units = np.concatenate(
            [
                3 + random.standard_normal((5, 22)) * DEVIATIONS,
                -1 + random.standard_normal((8, 22)) * DEVIATIONS[::-1],
            ]
        )
        moments = variance_moments(units @ units.T, [np.arange(5), np.arange(5, 13)])
        assert moments is not None
        found.append((moments.trace, moments.trace_of_square))
    trace, square = np.mean(found, axis=0)
    assert trace == pytest.approx(np.trace(covariance), rel=0.03)
    assert square == pytest.approx(np.trace(covariance @ covariance), rel=0.1)


def test_degrees_of_freedom_are_those_of_welch_for_numbers() -> None:
    """In one dimension, with a set of scatter far below the other's, they are those of the other."""
    random = np.random.default_rng(1)
    df = []
    for _ in range(200):
        units = np.concatenate([random.standard_normal(11), 0.01 * random.standard_normal(11)])[:, None]
        moments = variance_moments(units @ units.T, [np.arange(11), np.arange(11, 22)])
        assert moments is not None
        df.append(moments.degrees_of_freedom)
    assert np.median(df) == pytest.approx(10, rel=0.35)


def test_units_without_scatter_tell_nothing() -> None:
    gram = np.ones((4, 4))
    assert variance_moments(gram, [np.arange(4)]) is None
    assert variance_moments(np.eye(2), [np.array([0]), np.array([1])]) is None
    pair = variance_moments(np.eye(2), [np.arange(2)])
    assert pair is not None
    assert pair.n_directions == 1


def test_pseudo_units_of_one_direction_lower_the_number_of_directions_and_leave_the_trace() -> None:
    units = np.random.default_rng(2).standard_normal((3, 200))
    sets = [np.arange(3)]
    plain, cautious = (variance_moments(units @ units.T, sets, n) for n in (0.0, 1.0))
    assert plain is not None
    assert cautious is not None
    assert cautious.trace == plain.trace
    assert plain.n_directions > 20
    assert cautious.n_directions <= 3
    assert cautious.degrees_of_freedom <= 6
