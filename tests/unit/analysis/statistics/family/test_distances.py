"""The distance of models from the others of their family, against a computation of its own by loops."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.statistics.family.distances import (
    common_kernels,
    distances_from_others,
    family_distances,
)

SIZES = st.lists(st.integers(1, 5000), min_size=1, max_size=40)


def histograms(sizes: list[int], components: int = 3, bins: int = 8, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    laws = random.dirichlet(np.full(bins, 0.5), (len(sizes), components))
    return np.stack([random.multinomial(n, law) for n, law in zip(sizes, laws, strict=True)]).astype(np.float64)


def distance_by_loops(shares: np.ndarray, kernels: int, weights: np.ndarray, member: int) -> float:
    n, components, bins = shares.shape
    total = 0.0
    for c in range(components):
        filled = [b for b in range(bins) if any(shares[j, c, b] > 0 for j in range(n))]
        own = [shares[member, c, b] + 0.5 / kernels for b in filled]
        rest = [
            sum(shares[j, c, b] for j in range(n) if j != member) / (n - 1) + 0.5 / (kernels * (n - 1)) for b in filled
        ]
        p, q = ([value / sum(side) for value in side] for side in (own, rest))
        total += weights[c] * sum((a - b) * (log(a) - log(b)) for a, b in zip(p, q, strict=True))
    return total


@pytest.mark.parametrize("models", [2, 3, 7])
def test_distances_are_the_drift_from_the_mean_of_the_others(models: int) -> None:
    counts = histograms([300] * models, seed=models)
    weights = np.array([0.6, 0.3, 0.1])
    shares = counts / 300
    found = distances_from_others(shares, 300, weights)
    expected = [distance_by_loops(shares, 300, weights, member) for member in range(models)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_models_of_equal_size_are_not_thinned() -> None:
    counts, weights = histograms([500] * 5), np.array([0.6, 0.3, 0.1])
    found = family_distances(counts, weights, 20, np.random.default_rng(0))
    assert (found.kernels, found.members.tolist()) == (500, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(found.distances, distances_from_others(counts / 500, 500, weights))


def test_a_small_sample_of_the_same_law_is_no_farther_than_a_large_one() -> None:
    random = np.random.default_rng(0)
    law, weights = np.full((1, 70), 1 / 70), np.ones(1)
    ranks = []
    for _ in range(60):
        counts = np.stack([random.multinomial(n, law) for n in (150, *[20_000] * 9)]).astype(np.float64)
        distances = family_distances(counts, weights, 20, random).distances
        ranks.append(int((distances > distances[0]).sum()))
    assert 3 <= np.mean(ranks) <= 6  # uniform on 0 to 9: 4.5, with a standard error of 0.37


@given(SIZES)
def test_the_number_of_kernels_follows_from_sizes_and_keeps_enough_members(sizes: list[int]) -> None:
    kernels = common_kernels(np.array(sizes), 5)
    large = [n for n in sizes if n >= 100]
    if len(large) < 2:
        assert kernels == 0
        return
    kept = [n for n in sizes if n >= kernels]
    assert kernels in large
    assert len(kept) >= min(len(large), 5)
    assert kernels == common_kernels(np.array(sizes[::-1]), 5), "the order does not matter"


def test_members_are_left_out_for_the_sake_of_more_kernels_only_where_enough_are_left() -> None:
    sizes = np.array([100, *[10_000] * 6])
    assert common_kernels(sizes, 6) == 10_000
    assert common_kernels(sizes, 7) == 100


@pytest.mark.parametrize("sizes", [[5000], [99, 5000], [0, 0, 0]])
def test_one_model_with_enough_kernels_has_no_distance(sizes: list[int]) -> None:
    found = family_distances(histograms(sizes), np.ones(3) / 3, 20, np.random.default_rng(0))
    assert (found.kernels, len(found.members), len(found.distances)) == (0, 0, 0)
