"""Drift between histograms, on distributions whose divergence is known."""

from __future__ import annotations

import numpy as np

from filtercrawl_analysis.statistics.drift.divergence import (
    EPSILON,
    component_divergence,
    paired_drift,
    pairwise_drift,
    probabilities,
)


def test_probabilities_sum_to_one_and_empty_bins_have_the_epsilon_of_float32() -> None:
    p = probabilities(np.array([[2, 2, 0, 0]]), width=0.5)
    np.testing.assert_allclose(p, [[1, 1, EPSILON, EPSILON]] / np.array(2 + 2 * EPSILON))
    np.testing.assert_allclose(p, probabilities(np.array([[20, 20, 0, 0]]), width=0.5))
    assert np.isnan(probabilities(np.zeros((1, 4)), width=0.5)).all()


def test_drift_is_the_weighted_symmetric_divergence() -> None:
    p = np.array([[[0.5, 0.5], [0.9, 0.1]]])
    q = np.array([[[0.25, 0.75], [0.9, 0.1]]])
    weights = np.array([0.8, 0.2])
    expected = 0.8 * (0.5 - 0.25) * np.log((0.5 / 0.25) / (0.5 / 0.75))
    np.testing.assert_allclose(pairwise_drift(p, q, weights), [[expected]])
    np.testing.assert_allclose(paired_drift(p, q, weights), [expected])
    np.testing.assert_allclose(component_divergence(p, q)[0] @ weights, expected)


def test_drift_is_symmetric_and_zero_between_equals() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(7), (5, 3))
    drift = pairwise_drift(p, p, np.array([0.5, 0.3, 0.2]))
    np.testing.assert_allclose(drift, drift.T)
    np.testing.assert_allclose(np.diag(drift), 0, atol=1e-12)
    assert (drift[~np.eye(5, dtype=bool)] > 0).all()
