"""Power laws of tails, against a plain implementation of the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl_analysis.numerics.power_law import fit_power_law


def plain_fit(numbers: list[float]) -> tuple[float, float, float]:
    """Alpha, distance and xmin, one tail at a time, as Clauset, Shalizi and Newman define them."""
    few = len(numbers) < 20
    best = (math.inf, 0.0, 0.0)
    for start, xmin in enumerate(numbers[:-1]):
        tail = numbers[start:]
        n = len(tail)
        if few and n < 8:
            continue
        alpha = 1 + (n - 1 if few else n) / sum(math.log(x / xmin) for x in tail)
        distance = max(abs(1 - (x / xmin) ** (1 - alpha) - i / n) for i, x in enumerate(tail))
        if distance < best[0]:
            best = distance, alpha, xmin
    return best[1], best[0], best[2]


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 300), st.floats(0.1, 3), st.integers(0, 9999))
def test_the_fit_is_that_of_the_definition(n: int, spread: float, seed: int) -> None:
    numbers = np.sort(np.exp(spread * np.random.default_rng(seed).standard_normal(n)))
    found = fit_power_law(numbers)
    assert found is not None
    alpha, distance, xmin = plain_fit(numbers.tolist())
    assert (found.alpha, found.distance, found.xmin) == pytest.approx((alpha, distance, xmin), rel=1e-9)
    assert found.tail == np.count_nonzero(numbers >= xmin)
    assert found.error == pytest.approx((alpha - 1) / math.sqrt(found.tail))


@pytest.mark.parametrize("alpha", [1.5, 2.5, 4.0])
def test_a_planted_exponent_comes_back(alpha: float) -> None:
    random = np.random.default_rng(0)
    missed = 0
    for _ in range(100):
        found = fit_power_law(np.sort((1 - random.random(1000)) ** (-1 / (alpha - 1))))
        assert found is not None
        missed += abs(found.alpha - alpha) > 3 * found.error
    assert missed <= 5


def test_scale_does_not_matter() -> None:
    numbers = np.sort(np.random.default_rng(0).lognormal(size=200))
    small, large = fit_power_law(numbers), fit_power_law(1000 * numbers)
    assert small is not None
    assert large is not None
    assert large.alpha == pytest.approx(small.alpha)
    assert large.xmin == pytest.approx(1000 * small.xmin)


@pytest.mark.parametrize("numbers", [[], [1.0], np.arange(1.0, 8.0), np.ones(30)])
def test_no_fit(numbers: list[float]) -> None:
    assert fit_power_law(np.asarray(numbers, np.float64)) is None
