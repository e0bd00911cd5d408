"""The compiled comparison of kernels finds what an independent search in float64 finds, as that of torch does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from filtercrawl.kernel_search import Similarity
from support.nearest_reference import (
    CHANGES,
    EVERY,
    MANY,
    kernels_of_two_scales,
    nearest,
    normal_kernels,
    reference,
    scores_of,
)  # fmt: skip

pytest.importorskip("numba", reason="numba is not installed: there is nothing to compile with")


@pytest.mark.parametrize(
    ("metric", "invariant", "size"),
    [
        *((*how, (3, 3)) for how in EVERY),
        *((metric, CHANGES, size) for metric in ("cosine", "l2") for size in ((5,), (1, 11), (2, 3, 3), (7, 7))),
    ],
)
def test_neighbors_are_those_of_an_independent_search(
    metric: str, invariant: tuple[str, ...], size: tuple[int, ...]
) -> None:
    kernels, queries = normal_kernels(size)
    similarity = Similarity(metric=metric, invariant=invariant)
    assert nearest(queries, kernels, similarity, 7, n_kernels=MANY) == reference(queries, kernels, similarity, 7)


@pytest.mark.parametrize("how", EVERY[::3], ids=str)
def test_ties_zeros_and_numbers_that_are_not_finite(how: tuple[str, tuple[str, ...]]) -> None:
    random = np.random.default_rng(len(how[1]))
    similarity = Similarity(metric=how[0], invariant=how[1])
    for block in (1, 7, 600):
        kernels = random.integers(-1, 2, (600, 3, 3)).astype("f4")
        kernels[random.integers(0, 600, 100)] = 0
        kernels[random.integers(0, 600, 30), 0, 0] = np.repeat(np.array([np.nan, np.inf, -np.inf], "f4"), 10)
        queries = random.integers(-1, 2, (2, 3, 3)).astype("f4")
        found = nearest(queries, kernels, similarity, 20, block, n_kernels=MANY)
        expected = reference(queries, kernels, similarity, 20)
        for mine, theirs, query in zip(found, expected, queries, strict=True):
            assert len(mine) == len(theirs) == 20
            close = scores_of(query, kernels[mine], similarity), scores_of(query, kernels[theirs], similarity)
            np.testing.assert_allclose(*close)


@pytest.mark.parametrize("factor", [1e-42, 1e-38, 1e-25, 1e25, 1e37])
@pytest.mark.parametrize("how", [("cosine", ()), ("l2", ()), ("cosine", ("sign",)), ("l2", ("scale",))], ids=str)
def test_numbers_whose_squares_float32_does_not_hold(factor: float, how: tuple[str, tuple[str, ...]]) -> None:
    kernels, queries = kernels_of_two_scales(2000, factor)
    similarity = Similarity(metric=how[0], invariant=how[1])
    assert nearest(queries, kernels, similarity, 5, 300, MANY) == reference(queries, kernels, similarity, 5)


def test_more_candidates_than_there_is_memory_for() -> None:
    """Each kernel is nearer than those before it, so that all are candidates for all queries."""
    query = np.random.default_rng(0).standard_normal((1, 3, 3)).astype("f4")
    steps = np.linspace(1, 0, 4000, dtype="f4")[:, None, None]
    kernels = query + steps * np.ones((3, 3), "f4")
    queries = np.repeat(query, 300, 0)
    expected = list(range(3999, 3994, -1))
    assert nearest(queries, kernels, Similarity(metric="l2"), 5, 4000, MANY) == [expected] * 300


def test_several_threads_find_the_same() -> None:
    random = np.random.default_rng(0)
    kernels = random.standard_normal((300_000, 3, 3)).astype("f4")
    queries = random.standard_normal((4, 3, 3)).astype("f4")
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(nearest(queries, kernels, Similarity(), 50, 300_000, MANY))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == reference(queries, kernels, Similarity(), 50)
