"""Lower bounds of the energy in few kernels hold in 95 % of the samples, and are exact where all kernels are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.quality.outlier_bounds import (
    ERROR,
    LayerTotals,
    OutlierBound,
    mean_upper_bound,
    most_above,
    outlier_bound,
)
from support.layer_simulation import with_outliers

Random = np.random.Generator
SAMPLED = 64

HEAVY: dict[str, Callable[[Random, int], Array]] = {
    "lognormal scales": lambda random, n: random.standard_normal((n, 9)) * np.exp(1.5 * random.standard_normal((n, 1))),
    "Pareto energies, index 0.5": lambda random, n: (
        random.standard_normal((n, 9)) * np.sqrt(random.pareto(0.5, (n, 1)) + 1)
    ),
    "Pareto energies, index 1.2": lambda random, n: (
        random.standard_normal((n, 9)) * np.sqrt(random.pareto(1.2, (n, 1)) + 1)
    ),
    "one in 20 a thousand times larger": lambda random, n: (
        random.standard_normal((n, 9)) * np.where(random.random((n, 1)) < 0.05, 30, 1)
    ),
    "one in 16 a thousand times larger": lambda random, n: (
        random.standard_normal((n, 9)) * np.where(random.random((n, 1)) < 1 / 16, 30, 1)
    ),
    "Student weights": lambda random, n: random.standard_t(2, (n, 9)),
    "ordinary": lambda random, n: random.standard_normal((n, 9)),
}


def totals_of(layer: Array) -> LayerTotals:
    peaks = np.abs(layer).max(1)
    return LayerTotals(
        n_kernels=len(layer),
        n_low=int((peaks < peaks.max() / 100).sum()),
        energy=float((layer**2).sum()),
        fourth_powers=float((layer**4).sum()),
        max_abs=float(peaks.max()),
    )


def bound_of(layer: Array, sampled: int, random: Random) -> OutlierBound:
    found = outlier_bound(layer[random.permutation(len(layer))[:sampled]], totals_of(layer))
    assert found is not None
    return found


def holds(bound: OutlierBound, layer: Array) -> bool:
    energies = np.sort((layer**2).sum(1))[::-1]
    return bool(energies[: bound.kernels].sum() >= bound.share * energies.sum() * (1 - 1e-9))


@pytest.mark.parametrize("name", HEAVY)
@pytest.mark.parametrize("n", [100, 640, 4096])
def test_a_bound_holds_in_19_of_20_samples(name: str, n: int) -> None:
    random = np.random.default_rng([n, *map(ord, name)])
    layer = HEAVY[name](random, n)
    totals, wrong = totals_of(layer), 0
    for _ in range(100):
        found = outlier_bound(layer[random.permutation(n)[:SAMPLED]], totals)
        assert found is not None
        wrong += not holds(found, layer)
    assert wrong <= binom.ppf(0.999, 100, ERROR)


@pytest.mark.parametrize(("n", "count"), [(640, 1), (640, 2), (8192, 3), (65536, 3)])
def test_outliers_that_no_sample_holds_are_shown(n: int, count: int) -> None:
    random = np.random.default_rng([n, count])
    layer = with_outliers(random.standard_normal((n, 9)), count, 0.95)
    found = outlier_bound(layer[-SAMPLED:], totals_of(layer))
    assert found is not None
    assert 0.8 <= found.share <= 0.95
    assert count <= found.kernels <= n / 20


def test_kernels_below_a_hundredth_of_the_peak_need_no_bound_of_their_number() -> None:
    random = np.random.default_rng(1)
    layer = with_outliers(random.standard_normal((8192, 9)), 5, 0.9)
    assert bound_of(layer, SAMPLED, random).kernels < 100


@settings(deadline=None, max_examples=50)
@given(st.integers(32, 200), st.floats(0, 4), st.integers(0, 10**6))
def test_of_all_kernels_the_bound_is_exact(n: int, spread: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    layer = random.standard_normal((n, 3)) * np.exp(spread * random.standard_normal((n, 1)))
    found = bound_of(layer, n, random)
    energies = np.sort((layer**2).sum(1))[::-1]
    shares = np.cumsum(energies) / energies.sum()
    assert found.share == pytest.approx(shares[found.kernels - 1])
    most = max(1, n // 20)
    assert found.kernels <= most
    assert found.kernels == (min(most, int((shares < 0.8).sum()) + 1) if shares[most - 1] >= 0.8 else most)


@settings(deadline=None, max_examples=50)
@given(st.integers(65, 3000), st.integers(0, 10**6))
def test_a_single_weight_is_an_outlier_whatever_is_sampled(n: int, seed: int) -> None:
    layer = np.random.default_rng(seed).standard_normal((n, 9))
    layer[0, 0] = 100 * np.sqrt(n)
    found = outlier_bound(layer[-SAMPLED:], totals_of(layer))
    assert found is not None
    assert found.kernels == 1
    assert found.share > 0.99


def test_few_kernels_are_not_divided_into_few_and_many() -> None:
    layer = np.random.default_rng(2).standard_normal((31, 9))
    assert outlier_bound(layer, totals_of(layer)) is None


@pytest.mark.parametrize(("sampled", "n"), [(1, 5), (64, 65), (64, 640), (64, 100_000), (500, 640)])
def test_more_kernels_are_above_the_sampled_ones_with_the_stated_probability(sampled: int, n: int) -> None:
    most = most_above(sampled, n, 0.04)
    # The largest kernels are all missed if the sample holds none of them.
    assert hypergeom.pmf(0, n, most + 1, sampled) <= 0.04 or most == n - sampled
    assert most == 0 or hypergeom.pmf(0, n, most, sampled) > 0.04


@pytest.mark.parametrize("k", [1, 20, 63])
@pytest.mark.parametrize("power", [0, 1, 4, 30])
def test_a_mean_is_above_its_bound_with_the_stated_probability(k: int, power: int) -> None:
    random = np.random.default_rng([k, power])
    population = random.random(200) ** power
    wrong = sum(
        mean_upper_bound(random.permutation(population)[:k], 1.0, 0.1) < population.mean() * (1 - 1e-9)
        for _ in range(200)
    )
    assert wrong <= binom.ppf(0.999, 200, 0.1)


def test_a_bound_of_a_mean_is_above_that_of_the_sample_and_scales() -> None:
    values = np.random.default_rng(3).random(63)
    bound = mean_upper_bound(values, 1.0, 0.05)
    assert values.mean() < bound < values.mean() + 0.2
    assert mean_upper_bound(5 * values, 5.0, 0.05) == pytest.approx(5 * bound)
    assert mean_upper_bound(np.empty(0), 2.0, 0.05) == 2.0
    assert mean_upper_bound(np.ones(9), 1.0, 0.05) == 1.0
    assert mean_upper_bound(np.zeros(9), 0.0, 0.05) == 0.0
