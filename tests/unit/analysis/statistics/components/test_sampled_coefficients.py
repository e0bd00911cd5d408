"""Densities and histograms of sampled coefficients."""

from __future__ import annotations

import numpy as np

from filtercrawl_analysis.statistics.components.sampled_coefficients import (
    CELLS,
    POINTS,
    SampledCoefficients,
    coefficient_plane,
    kernel_density,
)


def test_a_density_integrates_to_one_and_peaks_where_the_values_are() -> None:
    values = np.random.default_rng(0).normal(2, 0.5, 2000)
    estimate = kernel_density(values, np.ones(2000))
    assert estimate is not None
    grid, density = estimate
    assert len(grid) == len(density) == POINTS
    assert abs(np.trapezoid(density, grid) - 1) < 0.01
    assert abs(grid[density.argmax()] - 2) < 0.2


def test_equal_values_have_no_density() -> None:
    assert kernel_density(np.ones(10), np.ones(10)) is None
    assert kernel_density(np.ones(1), np.ones(1)) is None


def test_the_plane_counts_weights_by_the_first_two_coefficients() -> None:
    samples = SampledCoefficients(
        layer=np.zeros(3, np.int64),
        weight=np.array([1.0, 2.0, 5.0]),
        coefficients=np.array([[-3.29, 3.29, 0.0], [-3.29, 3.29, 9.0], [50.0, 0.0, 0.0]]),
    )
    counts, edges = coefficient_plane(samples)
    assert counts.shape == (CELLS, CELLS)
    assert len(edges) == CELLS + 1
    assert counts[0, -1] == 3
    assert counts.sum() == 3  # what lies outside is not counted
