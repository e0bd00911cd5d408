"""The D that two samples of one distribution are expected to have."""

from __future__ import annotations

import numpy as np
import pytest

from filtercrawl_analysis.statistics.drift.divergence import paired_drift, probabilities
from filtercrawl_analysis.statistics.drift.floor import expected_drift
from support.drift_populations import laplace_bins

WIDTH = 6 / 70
WEIGHTS = np.array([0.7, 0.3])


@pytest.mark.parametrize("kernels", [(60, 60), (60, 5000), (700, 700), (20_000, 900), (10**6, 10**6)])
def test_the_floor_is_the_mean_d_of_samples_of_one_distribution(kernels: tuple[int, int]) -> None:
    distribution = laplace_bins(np.array([0.1, 0.0]), np.array([0.6, 0.2]))
    random = np.random.default_rng(0)
    p, q = (probabilities(random.multinomial(n, distribution, size=(400, 2)), WIDTH) for n in kernels)
    drifts = paired_drift(p, q, WEIGHTS)
    floor = expected_drift(distribution, (float(kernels[0]), float(kernels[1])), WEIGHTS, WIDTH)
    assert floor == pytest.approx(drifts.mean(), abs=4 * drifts.std() / 20 + 0.01 * floor)


def test_the_floor_falls_as_one_over_the_number_of_kernels() -> None:
    distribution = laplace_bins(np.array([0.0, 0.0]), np.array([2.0, 2.0]))
    floors = [expected_drift(distribution, (n, n), WEIGHTS, WIDTH) for n in (1e6, 1e7)]
    assert floors[0] / floors[1] == pytest.approx(10, rel=1e-3)
    assert floors[0] == pytest.approx(2 * 69 / 1e6, rel=0.01)
