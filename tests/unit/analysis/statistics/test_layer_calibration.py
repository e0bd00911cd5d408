"""A short version of the calibration study of layers: how often independent weights are told, and trained-like ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from filtercrawl_analysis.statistics.entropy.null import EntropyNull
from filtercrawl_analysis.statistics.entropy.power import EntropyPower, correlated_kernels, correlated_root
from filtercrawl_analysis.statistics.entropy.structure_test import StructureTests
from support.layer_simulation import INDEPENDENT, SAMPLED, p_values

# Simulations: seconds each.
pytestmark = pytest.mark.exhaustive

ALPHAS = (0.01, 0.05, 0.2)
N = 40


@pytest.mark.parametrize("name", INDEPENDENT)
@pytest.mark.parametrize(("n", "taps"), [(6, 3), (18, 9), (65, 3), (300, 3), (5000, 3)])
def test_independent_weights_are_told_no_more_often_than_stated(name: str, n: int, taps: int) -> None:
    random, tests = np.random.default_rng([n, taps]), StructureTests(EntropyNull())
    kernel_size = (3,) if taps == 3 else (3, 3)
    found = [p_values(INDEPENDENT[name](random, (n, taps)), tests, i, kernel_size) for i in range(N)]
    for of_layers in zip(*found, strict=True):
        known = np.array([p for p in of_layers if p is not None])
        for alpha in ALPHAS:
            assert (known <= alpha).sum() <= binom.ppf(0.999, N, alpha), alpha


@pytest.mark.parametrize(("n", "kernel_size"), [(8, (3,)), (32, (3,)), (9, (3, 3)), (14, (3, 3))])
@pytest.mark.parametrize("kurtosis", [0.0, 3.0])
def test_stated_power_is_the_share_of_trained_layers_that_are_told(
    n: int, kernel_size: tuple[int, ...], kurtosis: float
) -> None:
    random, null = np.random.default_rng([n, len(kernel_size)]), EntropyNull()
    tests = StructureTests(null)
    layers = correlated_kernels((N, n), correlated_root(kernel_size), kurtosis, random)
    told = float(np.mean([p_values(layer, tests, i, kernel_size)[0] <= 0.05 for i, layer in enumerate(layers)]))
    stated = EntropyPower(null).power(n, kernel_size, kurtosis, permuted=n <= SAMPLED)
    assert stated == pytest.approx(told, abs=0.28)  # 3.5 binomial standard deviations at most


def test_power_grows_with_kernels_to_one() -> None:
    power = EntropyPower(EntropyNull())
    found = [power.power(n, (3, 3), 0.0, permuted=True) for n in (2, 6, 9, 16, 64, 10_000)]
    assert found[0] == 0
    assert found == sorted(found)
    assert found[-1] == 1


def test_a_heavy_tail_makes_a_large_layer_small() -> None:
    power = EntropyPower(EntropyNull())
    assert power.power(80, (3, 3), 0.0, permuted=False) == 1
    assert power.power(80, (3, 3), 60.0, permuted=False) < 0.8


@pytest.mark.parametrize("kernel_size", [(3,), (3, 3), (5, 5), (2, 3)])
def test_taps_correlate_by_distance(kernel_size: tuple[int, ...]) -> None:
    root = correlated_root(kernel_size)
    covariance = root @ root.T
    places = np.array(list(np.ndindex(*kernel_size)))
    distance = np.abs(places[:, None] - places[None]).sum(2)
    assert covariance == pytest.approx(0.5**distance)


def test_the_reference_has_the_spectrum_of_trained_kernels() -> None:
    """CNN Filter DB: shares of the variance of all 3x3 kernels (arXiv 2203.15331, supplement)."""
    published = [0.3982, 0.1833, 0.1170, 0.0985, 0.0658, 0.0552, 0.0301, 0.0282, 0.0237]
    root = correlated_root((3, 3))
    spectrum = np.linalg.eigvalsh(root @ root.T)[::-1] / 9
    assert spectrum == pytest.approx(published, abs=0.04)
