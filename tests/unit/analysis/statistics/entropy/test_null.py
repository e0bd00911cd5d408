"""The p-values of variance entropy, against layers of independent weights of many distributions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.entropy.null import (
    EntropyNull,
    covariances_suffice,
    effective_kernels,
    tells_evenness,
)
from filtercrawl_analysis.statistics.entropy.permutation import permutation_p_values
from filtercrawl_analysis.statistics.entropy.simulation import (
    kernelwise_permuted_entropies,
    permuted_entropies,
    simulate_covariances,
    variance_entropies,
    weights_of_kurtosis,
)
from filtercrawl_analysis.statistics.entropy.tail import SMALLEST, sampled_p_values
from filtercrawl_analysis.statistics.groups.resampling import adjust_p_values
from support import cnn_filter_db_reference as paper

LAWS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "uniform": lambda random, shape: random.uniform(-1, 1, shape),
    "laplace": lambda random, shape: random.laplace(size=shape),
    "student": lambda random, shape: random.standard_t(3, shape),
    "sparse": lambda random, shape: random.standard_normal(shape) * np.where(random.random(shape) < 0.1, 1, 0.05),
}


@pytest.mark.parametrize("shape", [(3, 9), (9, 9), (40, 4), (64, 25), (30, 49)])
def test_entropies_are_those_of_the_paper(shape: tuple[int, int]) -> None:
    kernels = np.random.default_rng(1).standard_normal(shape)
    assert variance_entropies(kernels[None])[0] == pytest.approx(paper.entropy(kernels), abs=1e-9)


@pytest.mark.parametrize("law", LAWS)
def test_permuted_weights_are_told_apart_by_chance_alone(law: str) -> None:
    """Of layers of independent numbers of any law, about a twentieth has a p-value below 0.05."""
    random = np.random.default_rng(2)
    p_values = [permutation_p_values(LAWS[law](random, (24, 3)), [i])[0] for i in range(100)]
    assert sum(p is not None and p <= 0.05 for p in p_values) <= 11  # binomial, 99.5 %


@pytest.mark.parametrize("law", LAWS)
def test_weights_of_the_same_kurtosis_stand_for_those_of_the_layer(law: str) -> None:
    random, null = np.random.default_rng(3), EntropyNull()
    p_values = []
    for _ in range(100):
        layer = LAWS[law](random, (600, 3))
        entropy = float(variance_entropies(layer[None])[0])
        p_values.append(null.p_values(entropy, 600, 3, float(stats.kurtosis(layer.ravel())))[0])
    assert sum(p is not None and p <= 0.05 for p in p_values) <= 11


def test_kernels_of_different_scales_are_no_structure() -> None:
    random, null = np.random.default_rng(4), EntropyNull()
    for n in (40, 200):
        p_values = []
        for i in range(40):
            layer = random.standard_normal((n, 4)) * np.exp(0.6 * random.standard_normal((n, 1)))
            if n <= 64:
                p_values.append(permutation_p_values(layer, [i])[0])
            else:
                entropy = float(variance_entropies(layer[None])[0])
                p_values.append(null.p_values(entropy, n, 4, float(stats.kurtosis(layer.ravel())))[0])
        assert sum(p is not None and p <= 0.05 for p in p_values) <= 6


@pytest.mark.parametrize("kurtosis", [-1.9, -1.2, -0.5, 0.0, 0.4, 3.0, 30.0])
@pytest.mark.parametrize("count", [600, 9001])
def test_weights_have_the_kurtosis_asked_for(kurtosis: float, count: int) -> None:
    weights = weights_of_kurtosis(count, kurtosis)
    assert len(weights) == count
    assert stats.kurtosis(weights) == pytest.approx(kurtosis, abs=0.03 * (kurtosis + 3))
    assert weights.mean() == pytest.approx(0, abs=1e-9 * np.abs(weights).max())


@pytest.mark.parametrize(("n", "taps", "kurtosis"), [(400, 9, -1.2), (400, 9, 0.0), (600, 9, 3.0), (200, 4, 0.0)])
def test_drawn_covariances_are_those_of_weights(n: int, taps: int, kurtosis: float) -> None:
    assert covariances_suffice(n, taps, kurtosis)
    random = np.random.default_rng(5)
    drawn = simulate_covariances(n, taps, kurtosis, 1000, random)
    weights = permuted_entropies(weights_of_kurtosis(n * taps, kurtosis), (n, taps), 1000, random)
    assert stats.ks_2samp(drawn, weights).pvalue > 1e-3


@pytest.mark.parametrize(("n", "taps"), [(331, 9), (5003, 9), (100_000, 9), (150, 4)])
def test_one_simulation_serves_a_range_of_sizes(n: int, taps: int) -> None:
    fresh = np.sort(simulate_covariances(n, taps, 0.0, 5000, np.random.default_rng(n)))
    null = EntropyNull()
    for share in (0.01, 0.05, 0.5, 0.95):
        found, _ = null.p_values(float(np.quantile(fresh, share)), n, taps, 0.0)
        error = math.sqrt(share * (1 - share) * (1 / 1000 + 1 / len(fresh)))
        assert found == pytest.approx(share, abs=4.5 * error + 0.001)


def test_permutations_keep_weights_and_those_in_kernels_their_scales() -> None:
    random = np.random.default_rng(6)
    scales = np.array([1000.0, 1, 1, 1])[:, None]
    kernels = scales * random.choice([-1.0, 1.0], (4, 9))
    in_kernels = kernelwise_permuted_entropies(kernels, 50, random)
    assert in_kernels.max() < 0.01  # one kernel has all of the energy
    assert permuted_entropies(kernels.ravel(), (4, 9), 50, random).max() > 0.2


def test_p_values_at_the_ends() -> None:
    null = EntropyNull()
    structured, even = null.p_values(0.5, 1000, 9, 0.0)
    assert structured == pytest.approx(1 / 10_001)
    assert even == 1.0
    structured, even = null.p_values(math.log10(9), 1000, 9, 0.0)
    assert structured == 1.0
    assert even == pytest.approx(1 / 401)


def test_where_few_weights_decide_nothing_is_said_of_even_variances() -> None:
    """The kurtosis of 65 kernels, a few of which have nearly all of the energy, does not tell how even they can be."""
    structured, even = EntropyNull().p_values(0.4, 65, 3, 27.0)
    assert structured is not None
    assert even is None
    assert EntropyNull().p_values(0.4, 65, 3, 3.0)[1] is not None
    # Of 7x7 kernels it takes more of them.
    assert not tells_evenness(2000, 49, 20.0)
    assert tells_evenness(2000, 9, 20.0)
    assert tells_evenness(2000, 49, 3.0)


@pytest.mark.parametrize(("taps", "n"), [(9, 12), (9, 64), (25, 40), (3, 100), (9, 4000)])
def test_what_is_clearly_below_is_below_all_draws(taps: int, n: int) -> None:
    """Where no simulation is made, it would give the smallest p-value."""
    null = EntropyNull()
    drawn = null.sample(n, taps, 3.0, 2000)
    assert drawn is not None
    for entropy in np.linspace(0, math.log10(taps), 200):
        if null.p_values(float(entropy), n, taps, 3.0)[0] == 1 / 10_001:
            assert drawn[0] > entropy


def test_rare_coincidences_of_few_large_weights_are_seen() -> None:
    """Two weights have all of the energy; in one of 64 orders they are in one kernel, which lowers the entropy much."""
    layer = 1e-3 * np.random.default_rng(7).standard_normal((64, 9))
    layer[3, 2], layer[3, 7] = 1.0, 1.0
    structured, _ = permutation_p_values(layer, [1])
    assert structured is not None
    assert structured > 0.005


@pytest.mark.parametrize("taps", [3, 9, 25])
def test_structure_is_told_with_the_smallest_p_value(taps: int) -> None:
    random = np.random.default_rng(taps)
    layer = random.standard_normal((64, 1)) + 0.1 * random.standard_normal((64, taps))
    assert permutation_p_values(layer, [1])[0] == pytest.approx(1 / 10_001)


@pytest.mark.parametrize(("n", "taps"), [(0, 9), (1, 9), (2, 9), (100, 1), (10_000, 961)])
def test_where_there_is_no_null_nothing_is_said(n: int, taps: int) -> None:
    null = EntropyNull()
    assert null.sample(n, taps) is None
    assert null.p_values(0.5, n, taps, 0.0) == (None, None)
    assert null.quantile(0.05, n, taps) is None


def test_an_unknown_entropy_has_no_p_value() -> None:
    assert EntropyNull().p_values(None, 100, 9, 0.0) == (None, None)
    assert EntropyNull().p_values(0.5, 100, 9, None) == (None, None)
    assert permutation_p_values(np.ones((9, 9)), [1]) == (None, None)
    assert permutation_p_values(np.arange(18.0).reshape(2, 9), [1]) == (None, None)


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 10**7), st.sampled_from([2, 3, 4, 9, 25]))
def test_entropies_are_below_their_bound_and_grow_to_it(n: int, taps: int) -> None:
    drawn = EntropyNull().sample(n, taps, 0.0, 100)
    if drawn is None:
        assert min(taps, n - 1) < 2
        return
    bound = math.log10(min(taps, n - 1))
    assert (np.diff(drawn) >= 0).all()
    assert drawn[0] >= 0
    assert drawn[-1] <= bound + 1e-12
    if n > 10**5:
        assert drawn.mean() == pytest.approx(bound, abs=1e-3)


@given(st.integers(3, 10**6), st.floats(-2, 1e5))
def test_kernels_of_many_scales_are_worth_fewer(n: int, kurtosis: float) -> None:
    effective = effective_kernels(n, kurtosis)
    assert 0 <= effective <= n
    assert effective == n or kurtosis > 0


def test_the_seed_decides_and_nothing_else() -> None:
    one, other = EntropyNull(seed=1), EntropyNull(seed=1)
    other.sample(50, 4)
    assert np.array_equal(one.sample(100, 9), other.sample(100, 9))  # type: ignore[arg-type]
    assert not np.array_equal(one.sample(100, 9), EntropyNull(seed=2).sample(100, 9))  # type: ignore[arg-type]
    kernels = np.random.default_rng(1).standard_normal((20, 3))
    assert permutation_p_values(kernels, [1, 2]) == permutation_p_values(kernels, [1, 2])


@given(st.lists(st.one_of(st.floats(1e-9, 1), st.just(float("nan"))), max_size=30))
def test_adjusted_p_values_are_those_of_benjamini_and_hochberg(values: list[float]) -> None:
    p_values = np.array(values, np.float64)
    known = p_values[np.isfinite(p_values)]
    found = adjust_p_values(p_values)
    assert np.array_equal(np.isnan(found), np.isnan(p_values))
    if len(known):
        assert found[np.isfinite(found)] == pytest.approx(stats.false_discovery_control(known))


def test_a_p_value_below_the_draws_is_that_of_many_more_draws() -> None:
    random = np.random.default_rng(8)
    weights = random.standard_normal(20 * 9)
    drawn = permuted_entropies(weights, (20, 9), 400, random)
    many = permuted_entropies(weights, (20, 9), 10_000, random)
    for share in (0.002, 0.01):
        found, even = sampled_p_values(float(np.quantile(many, share)), drawn)
        assert share / 2 < found < share * 2
        assert even > 0.9
    assert sampled_p_values(0.1, drawn)[0] == SMALLEST[0]
