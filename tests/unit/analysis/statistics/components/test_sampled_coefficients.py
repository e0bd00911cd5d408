"""Densities and histograms of sampled coefficients."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.statistics.components.sampled_coefficients import (
    CELLS,
    POINTS,
    SampledCoefficients,
    coefficient_plane,
    kernel_density,
    weighted_median,
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
    counts, edges = coefficient_plane(samples, np.arange(3))
    assert counts.shape == (CELLS, CELLS)
    assert len(edges) == CELLS + 1
    assert counts[0, -1] == 3
    assert counts.sum() == 3  # what lies outside is not counted
    (of_group, group_edges) = coefficient_plane(samples, np.array([1, 2]), 4)
    assert of_group[0, -1] == of_group.sum() == 2
    np.testing.assert_allclose(group_edges, [-3.3, -1.65, 0, 1.65, 3.3], atol=1e-12)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5)), min_size=1, max_size=20))
def test_the_weighted_median_is_the_median_of_repeated_values(items: list[tuple[int, int]]) -> None:
    values, weight = (np.array(column, float) for column in zip(*items, strict=True))
    repeated = sorted(value for value, count in items for _ in range(count))
    assert weighted_median(values, weight) == repeated[(len(repeated) - 1) // 2]
