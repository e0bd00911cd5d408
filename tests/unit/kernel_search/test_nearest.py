"""The nearest kernels of a stream are those of an independent search in float64, ties and zeros included."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.errors import UsageError
from filtercrawl.kernel_search import Candidates, Query, Similarity
from filtercrawl.kernel_search.screening import TorchScreen
from filtercrawl.load.kernel_numbers import KernelBlock
from support.nearest_reference import (
    CHANGES,
    EVERY,
    METRICS,
    kernels_of_two_scales,
    nearest,
    normal_kernels,
    reference,
    scores_of,
)  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "invariant", "size"),
    [
        *((*how, (3, 3)) for how in EVERY),
        *((metric, some, size) for metric in METRICS for some in ((), CHANGES) for size in ((5,), (1, 4), (2, 3, 3))),
    ],
)
def test_neighbors_are_those_of_an_independent_search(
    metric: str, invariant: tuple[str, ...], size: tuple[int, ...]
) -> None:
    kernels, queries = normal_kernels(size)
    similarity = Similarity(metric=metric, invariant=invariant)
    assert nearest(queries, kernels, similarity, 7) == reference(queries, kernels, similarity, 7)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(EVERY), st.integers(1, 6), st.integers(1, 40))
def test_ties_zeros_and_numbers_that_are_not_finite(
    seed: int, how: tuple[str, tuple[str, ...]], k: int, block: int
) -> None:
    """Few different integers: the scores of many kernels are equal to the last bit, at norm 1 nearly so."""
    random = np.random.default_rng(seed)
    kernels = random.integers(-1, 2, (60, 2, 2)).astype("f4")
    kernels[random.integers(0, 60, 3), 0, 0] = [np.nan, np.inf, -np.inf]
    queries = random.integers(-1, 2, (2, 2, 2)).astype("f4")
    queries[~queries.any((1, 2))] = 1
    similarity = Similarity(metric=how[0], invariant=how[1])
    found = nearest(queries, kernels, similarity, k, block)
    expected = reference(queries, kernels, similarity, k)
    for mine, theirs, query in zip(found, expected, queries, strict=True):
        assert len(mine) == len(theirs)
        assert np.allclose(scores_of(query, kernels[mine], similarity), scores_of(query, kernels[theirs], similarity))
        if not similarity.at_norm_one:
            assert mine == theirs


def test_small_differences_between_large_numbers_are_told() -> None:
    """In float32 the square of the distance would be lost in the squares of the norms."""
    query = np.full((1, 3, 3), 1000, "f4")
    kernels = np.repeat(query, 4, 0)
    kernels[0, 0, 0] += 0.25
    kernels[1, 0, 0] += 0.0625
    kernels[3, 0, 0] -= 0.125
    assert nearest(query, kernels, Similarity(metric="l2"), 4) == [[2, 1, 3, 0]]


@pytest.mark.parametrize("factor", [1e-38, 1e-25, 1e25, 1e37])
@pytest.mark.parametrize(
    "similarity", [Similarity(), Similarity(metric="l2"), Similarity(invariant=("sign",))], ids=str
)
def test_numbers_whose_squares_float32_does_not_hold(factor: float, similarity: Similarity) -> None:
    kernels, queries = kernels_of_two_scales(200, factor)
    assert nearest(queries, kernels, similarity, 5, 30) == reference(queries, kernels, similarity, 5)


def test_the_image_says_how_the_query_is_nearest() -> None:
    query = torch.arange(1.0, 10).reshape(1, 3, 3)
    similarity = Similarity(invariant=("sign", "rotation", "flip"))
    candidates = Candidates(Query(kernels=query, similarity=similarity, k=1))
    candidates.add(KernelBlock.joined([(-query.rot90(1, (-2, -1)).flatten(1).numpy(), 5)]))
    found = candidates.result()
    assert found.score.tolist() == pytest.approx([1.0])
    assert similarity.names((3, 3))[-1 - int(found.image[0])] == "turned 90"


@pytest.mark.parametrize(("size", "invariant", "n"), [
    ((3, 3), ("rotation",), 4), ((3, 3), ("flip",), 4), ((3, 3), ("rotation", "flip"), 8), ((1, 3), ("rotation",), 2),
    ((1, 3), ("rotation", "flip"), 4), ((3,), ("rotation", "flip"), 2), ((3,), (), 1),
])  # fmt: skip
def test_images_are_different_symmetries(size: tuple[int, ...], invariant: tuple[str, ...], n: int) -> None:
    kernel = torch.arange(float(np.prod(size)))[None].reshape(1, *size) if min(size) > 1 else torch.rand(1, *size)
    similarity = Similarity(invariant=invariant)
    images = similarity.images(kernel)
    assert len(images) == len(similarity.names(size)) == n
    if min(size) > 1:
        assert len({tuple(image.flatten().tolist()) for image in images}) == n


def test_what_the_caller_has_set_for_its_training_does_not_count() -> None:
    """Lower precision of products would lose neighbors among kernels of large and nearly equal norms."""
    random = np.random.default_rng(0)
    kernels = (1000 + random.standard_normal((3000, 3, 3))).astype("f4")
    queries = (1000 + random.standard_normal((4, 3, 3))).astype("f4")
    expected = reference(queries, kernels, Similarity(metric="l2"), 7)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert nearest(queries, kernels, Similarity(metric="l2"), 7) == expected
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_memory_for_many_queries_is_that_of_their_neighbors() -> None:
    """The first 256 kernels are candidates for all 2,000 queries: half a million pairs."""
    random = np.random.default_rng(0)
    queries, kernels = (random.standard_normal((n, 3, 3)).astype("f4") for n in (2000, 256))
    tracemalloc.start()
    try:
        found = nearest(queries, kernels, Similarity(), 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000
    assert found[:20] == reference(queries[:20], kernels, Similarity(), 1)


@pytest.mark.parametrize("size", [(3, 3), (7, 7), (31, 31), (3, 31, 31)])
@pytest.mark.parametrize("n", [1, 256])
def test_memory_of_a_device_does_not_grow_with_the_kernels(size: tuple[int, ...], n: int) -> None:
    """Tensors on the device `meta` have a size and no memory; a GPU is treated as it is."""
    query = Query(kernels=torch.ones(n, *size), similarity=Similarity(), k=5, device=torch.device("meta"))
    held = [value.nbytes for value in vars(TorchScreen(query)).values() if torch.is_tensor(value)]
    assert len(held) > 2
    assert sum(held) < 200_000_000


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="hamming"):
        Similarity(metric="hamming")
    with pytest.raises(UsageError, match="shift"):
        Similarity(invariant=("shift",))
