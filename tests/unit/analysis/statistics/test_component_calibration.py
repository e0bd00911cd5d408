"""A short version of the calibration study of components and shape: coverage, and how often true hypotheses fall."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from support.component_simulation import (
    SPECTRA,
    Planted,
    PlantedLayers,
    median_coverage,
    median_p_values,
    share_coverage,
    share_p_values,
)

# Simulations: seconds each.
pytestmark = pytest.mark.exhaustive

ALPHAS = (0.01, 0.05, 0.2)
N = 120


def check_type_1(p_values: np.ndarray) -> None:
    for alpha in ALPHAS:
        assert (p_values <= alpha).sum() <= binom.ppf(0.995, len(p_values), alpha), alpha


@pytest.mark.parametrize(
    "planted",
    [
        Planted(models=5),
        Planted(models=5, sizes=1.0),
        Planted(models=20, kernels=50),
        Planted(models=50, spread=0.1, sizes=1.0),
    ],
)
def test_intervals_of_explained_variance_cover_it(planted: Planted) -> None:
    covered, _ = share_coverage(np.random.default_rng(1), SPECTRA["3x3"], planted, N)
    assert 0.92 <= covered.mean() <= 0.985
    assert covered.min() >= binom.ppf(0.001, N, 0.95) / N


def test_equal_components_are_not_called_distinct_and_different_ones_are() -> None:
    _, apart = share_coverage(np.random.default_rng(2), SPECTRA["3x3, equal pairs"], Planted(models=20, spread=0.2), N)
    assert max(apart[1], apart[3]) <= 0.05
    assert apart[0] > 0.9


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("sizes", [0.0, 1.0])
def test_equal_shares_are_told_apart_no_more_often_than_stated(*, crossed: bool, sizes: float) -> None:
    first, second = Planted(models=6, sizes=sizes), Planted(models=6 if crossed else 30, sizes=sizes)
    check_type_1(share_p_values(np.random.default_rng(3), (first, second), N, crossed=crossed))


def test_different_shares_are_told_apart() -> None:
    sets = Planted(models=20, spread=0.2), Planted(models=30, spread=0.2)
    assert (share_p_values(np.random.default_rng(4), sets, 50, shift=0.4) <= 0.05).mean() > 0.8


@pytest.mark.parametrize("models", [5, 8, 20])
@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_of_medians_over_models_cover_them(models: int, *, skewed: bool) -> None:
    covered, p_values = median_coverage(np.random.default_rng(5), PlantedLayers(models=models, skewed=skewed), 200)
    assert binom.ppf(0.005, 200, 0.94) / 200 <= covered <= 0.98
    check_type_1(p_values)


@pytest.mark.parametrize(
    ("models", "layers", "between", "crossed"),
    [
        ((5, 45), (10, 10), 1.0, False),
        ((5, 45), (3, 30), 0.0, False),
        ((20, 30), (3, 30), 1.0, False),
        ((6, 6), (3, 30), 1.0, True),
    ],
)
def test_equal_medians_are_told_apart_no_more_often_than_stated(
    models: tuple[int, int], layers: tuple[int, int], between: float, *, crossed: bool
) -> None:
    sets = tuple(PlantedLayers(models=m, layers=n, between=between) for m, n in zip(models, layers, strict=True))
    check_type_1(median_p_values(np.random.default_rng(6), sets, N, crossed=crossed))  # type: ignore[arg-type]


def test_different_medians_are_told_apart() -> None:
    sets = PlantedLayers(models=20, shift=1.5), PlantedLayers(models=30)
    assert (median_p_values(np.random.default_rng(7), sets, 50) <= 0.05).mean() > 0.8
