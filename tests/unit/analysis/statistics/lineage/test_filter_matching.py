"""Filters and input channels in another order, against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.statistics.lineage.filter_matching import (
    can_match,
    change_of_sorted,
    match_filters,
    order_of_outputs,
)


def random_layer(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@given(seed=st.integers(0, 2**32 - 2), filters=st.integers(1, 5))
def test_the_distance_is_the_smallest_of_all_permutations(seed: int, filters: int) -> None:
    a, b = random_layer(seed, filters, 2, 3), random_layer(seed + 1, filters, 2, 3)
    distances = [np.linalg.norm(a - b[list(order)]) for order in itertools.permutations(range(filters))]
    match = match_filters(a, b)
    assert match.distance == pytest.approx(min(distances), rel=1e-5)
    assert np.linalg.norm(a - b[match.order]) == pytest.approx(match.distance, rel=1e-5)


@given(seed=st.integers(0, 2**32 - 2), noise=st.sampled_from([0.0, 0.01]))
def test_permuted_channels_of_a_network_are_found_whatever_the_order_of_its_layers(seed: int, noise: float) -> None:
    random = np.random.default_rng(seed)
    first, second = random_layer(seed, 12, 3, 3, 3), random_layer(seed + 1, 10, 12, 3, 3)
    outer, inner = random.permutation(10), random.permutation(12)
    moved_first, moved_second = first[inner], second[outer][:, inner]
    moved_second = moved_second + noise * random_layer(seed + 2, *second.shape)
    orders = [order_of_outputs(a, b) for a, b in ((second, moved_second), (first, moved_first))]
    match = match_filters(second, moved_second, [order for order in orders if len(order) == 12])
    assert match.inputs == "carried"
    assert match.order.tolist() == np.argsort(outer).tolist()
    assert match.relative_change == pytest.approx(noise, abs=0.1 * noise)


def test_equal_filters_are_at_their_own_place() -> None:
    a = np.ones((5, 2, 3), np.float32)
    match = match_filters(a, a, [np.array([1, 0])])
    assert (match.distance, match.moved, match.inputs) == (0, 0, "as stored")


def test_the_inputs_of_unrelated_layers_are_taken_as_stored() -> None:
    a, b = random_layer(0, 16, 16, 3, 3), random_layer(1, 16, 16, 3, 3)
    orders = [np.random.default_rng(i).permutation(16) for i in range(20)]
    assert match_filters(a, b, orders).inputs == "as stored"


def test_layers_that_cannot_be_matched() -> None:
    assert not can_match(np.zeros((4097, 1, 1), np.float32), np.zeros((4097, 1, 1), np.float32))
    assert not can_match(np.full((2, 1, 1), np.nan, np.float32), np.zeros((2, 1, 1), np.float32))


def test_sorted_filters_undo_every_order() -> None:
    a = random_layer(0, 8, 4, 3, 3)
    b = np.ascontiguousarray(a[::-1, [2, 1, 0, 3]].swapaxes(2, 3))
    assert change_of_sorted(a, b) == 0
    unrelated = change_of_sorted(a, random_layer(1, 8, 4, 3, 3))
    assert unrelated is not None
    assert unrelated > 0.1
    assert change_of_sorted(0 * a, a) is None
