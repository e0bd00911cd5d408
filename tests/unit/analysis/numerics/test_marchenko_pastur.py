"""The law of Marchenko and Pastur, and eigenvalues of random matrices drawn without the matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import ks_2samp

from filtercrawl_analysis.numerics.marchenko_pastur import (
    _density,
    _law,
    _quarter_circle,
    fit_marchenko_pastur,
    wishart_eigenvalues,
)


def random_spectrum(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).standard_normal((rows, columns))
    return np.sort(np.linalg.svd(matrix, compute_uv=False) ** 2)


def test_the_density_is_the_mean_of_triangles() -> None:
    numbers = random_spectrum(40, 20) / 40
    x, density = _density(numbers)
    want = np.maximum(0, 1 - np.abs(x[:, None] - numbers) / 0.1).mean(1) / 0.1
    assert np.allclose(density, want, atol=1e-10)


@pytest.mark.parametrize("ratio", [1.5, 4.0])
def test_the_law_is_a_density(ratio: float) -> None:
    sigma = 1.3
    low, high = (np.array((sigma * (1 + sign * ratio**-0.5)) ** 2) for sign in (-1, 1))
    total, _ = quad(lambda x: float(_law(np.array(x), ratio, low, high)), low, high)
    mean, _ = quad(lambda x: x * float(_law(np.array(x), ratio, low, high)), low, high)
    assert total == pytest.approx(1, abs=1e-6)
    assert mean == pytest.approx(sigma**2, abs=1e-6)


def test_the_quarter_circle_is_a_density() -> None:
    total, _ = quad(lambda x: float(_quarter_circle(np.array(x), np.array(1.0))), 0, 2)
    assert total == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shape", [(400, 200), (300, 300), (800, 100)])
def test_a_random_matrix_has_the_law_and_no_spikes(shape: tuple[int, int]) -> None:
    found = fit_marchenko_pastur(random_spectrum(*shape), *shape)
    assert found is not None
    assert found.sigma == pytest.approx(1, abs=0.05)
    assert found.soft_rank == pytest.approx(1, abs=0.1)
    assert found.spikes == 0


def test_planted_spikes_are_counted_and_lower_the_soft_rank() -> None:
    random = np.random.default_rng(3)
    noise = random.standard_normal((400, 200))
    planted = sum(12 * np.outer(random.standard_normal(400), random.standard_normal(200)) / 20 for _ in range(3))
    spectrum = np.sort(np.linalg.svd(noise + planted, compute_uv=False) ** 2)
    found = fit_marchenko_pastur(spectrum, 400, 200)
    assert found is not None
    assert found.spikes == 3
    assert found.soft_rank < 0.1


@pytest.mark.parametrize("shape", [(12, 1), (9, 9), (30, 6)])
def test_eigenvalues_have_the_distribution_of_those_of_matrices(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    ours = np.array([wishart_eigenvalues(*shape, random) for _ in range(800)])
    theirs = np.array([random_spectrum(*shape, seed) for seed in range(800)])
    assert (np.diff(ours, axis=1) >= 0).all()
    for position in {0, shape[1] // 2, shape[1] - 1}:
        assert ks_2samp(ours[:, position], theirs[:, position]).pvalue > 0.001
    assert ours.sum(1).mean() == pytest.approx(shape[0] * shape[1], rel=0.02)
