"""The simulated entropy of random layers, against random layers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from filtercrawl_analysis.statistics.entropy_null import EntropyNull, simulate_entropies
from filtercrawl_analysis.statistics.resampling import adjust_p_values
from support import cnn_filter_db_reference as paper


def layers_of_noise(n: int, taps: int, draws: int) -> np.ndarray:
    random = np.random.default_rng([n, taps])
    return np.array([paper.entropy(random.standard_normal((n, taps)).astype(np.float32)) for _ in range(draws)])


@pytest.mark.parametrize(("n", "taps"), [(3, 9), (9, 9), (10, 9), (40, 4), (64, 25), (300, 9), (30, 49)])
def test_drawn_entropies_are_those_of_random_layers(n: int, taps: int) -> None:
    """Below, at and above as many kernels as taps."""
    drawn = EntropyNull(seed=5).sample(n, taps)
    assert drawn is not None
    assert stats.ks_2samp(drawn, layers_of_noise(n, taps, 800)).pvalue > 1e-3


@pytest.mark.parametrize(("n", "taps"), [(331, 9), (700, 9), (5003, 9), (100_000, 9), (3000, 49), (150, 4)])
def test_one_simulation_serves_a_range_of_sizes(n: int, taps: int) -> None:
    """Between the sizes of the grid: p-values against simulations of n itself differ by no more than chance makes."""
    fresh = np.sort(simulate_entropies(n, taps, 20_000 if taps <= 9 else 2000, np.random.default_rng(n)))
    null = EntropyNull()
    for share in (0.01, 0.05, 0.5, 0.95):
        found, _ = null.p_values(float(np.quantile(fresh, share)), n, taps)
        draws = len(null.sample(n, taps))  # type: ignore[arg-type]
        error = math.sqrt(share * (1 - share) * (1 / draws + 1 / len(fresh)))
        assert found == pytest.approx(share, abs=4.5 * error + 1 / draws)


def test_p_values_at_the_ends() -> None:
    null = EntropyNull()
    structured, even = null.p_values(0.5, 1000, 9)
    assert structured == pytest.approx(1 / 10_001)
    assert even == 1.0
    structured, even = null.p_values(math.log10(9), 1000, 9)
    assert structured == 1.0
    assert even == pytest.approx(1 / 10_001)


def test_what_is_far_from_a_first_look_is_far_from_all_draws() -> None:
    """A first look stands for all draws only where these would give their smallest p-value."""
    for taps in (9, 10, 15, 25):
        for n in (5, taps, taps + 1, 4 * taps, 64 * taps):
            null = EntropyNull(seed=taps)
            first = null.sample(n, taps, 400)
            drawn = null.sample(n, taps)
            assert first is not None
            assert drawn is not None
            assert drawn[0] > first[0] - 4 * first.std()


@pytest.mark.parametrize(("n", "taps"), [(0, 9), (1, 9), (2, 9), (100, 1), (10_000, 961)])
def test_where_there_is_no_null_nothing_is_said(n: int, taps: int) -> None:
    null = EntropyNull()
    assert null.sample(n, taps) is None
    assert null.p_values(0.5, n, taps) == (None, None)
    assert null.quantile(0.05, n, taps) is None


def test_an_unknown_entropy_has_no_p_value() -> None:
    assert EntropyNull().p_values(None, 100, 9) == (None, None)


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 10**7), st.sampled_from([2, 3, 4, 9, 25]))
def test_entropies_are_below_their_bound_and_grow_to_it(n: int, taps: int) -> None:
    drawn = EntropyNull().sample(n, taps, 200)
    if drawn is None:
        assert min(taps, n - 1) < 2
        return
    bound = math.log10(min(taps, n - 1))
    assert (np.diff(drawn) >= 0).all()
    assert drawn[0] >= 0
    assert drawn[-1] <= bound + 1e-12
    if n > 10**5:
        assert drawn.mean() == pytest.approx(bound, abs=1e-3)


def test_the_seed_decides_and_nothing_else() -> None:
    one, other = EntropyNull(seed=1), EntropyNull(seed=1)
    other.sample(50, 4)
    assert np.array_equal(one.sample(100, 9), other.sample(100, 9))  # type: ignore[arg-type]
    assert not np.array_equal(one.sample(100, 9), EntropyNull(seed=2).sample(100, 9))  # type: ignore[arg-type]


@given(st.lists(st.one_of(st.floats(1e-9, 1), st.just(float("nan"))), max_size=30))
def test_adjusted_p_values_are_those_of_benjamini_and_hochberg(values: list[float]) -> None:
    p_values = np.array(values, np.float64)
    known = p_values[np.isfinite(p_values)]
    found = adjust_p_values(p_values)
    assert np.array_equal(np.isnan(found), np.isnan(p_values))
    if len(known):
        assert found[np.isfinite(found)] == pytest.approx(stats.false_discovery_control(known))
