"""The nearest kernels of a stream are those of an independent search in float64, ties and zeros included."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.errors import UsageError
from filtercrawl.kernel_search import Candidates, Query, Similarity

METRICS = ("cosine", "l2")
CHANGES = ("scale", "sign", "rotation", "flip")
EVERY = [(metric, some) for metric in METRICS for n in range(5) for some in itertools.combinations(CHANGES, n)]


def reference(queries: np.ndarray, kernels: np.ndarray, similarity: Similarity, k: int) -> list[list[int]]:
    """Numbers of the nearest kernels by brute force, with the images of each kernel, not of the query."""
    queries, kernels = queries.astype(np.float64), kernels.astype(np.float64)
    usable = np.isfinite(kernels).all(tuple(range(1, kernels.ndim)))
    if similarity.metric == "cosine" or "scale" in similarity.invariant:
        norms = np.linalg.norm(kernels.reshape(len(kernels), -1), axis=1)
        usable &= norms > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            kernels = kernels / norms.reshape(-1, *[1] * (kernels.ndim - 1))
        queries = queries / np.linalg.norm(queries.reshape(len(queries), -1), axis=1).reshape(
            -1, *[1] * (queries.ndim - 1)
        )
    images = [kernels]
    if "rotation" in similarity.invariant and kernels.ndim > 2:
        turns = (0, 1, 2, 3) if kernels.shape[-1] == kernels.shape[-2] else (0, 2)
        images = [np.rot90(image, n, (-2, -1)) for image in images for n in turns]
    if "flip" in similarity.invariant:
        axes = range(1, kernels.ndim) if kernels.ndim == 2 else (-1, -2)
        for axis in axes:
            images += [np.flip(image, axis) for image in images]
    if "sign" in similarity.invariant:
        images += [-image for image in images]
    found = []
    for query in queries:
        if similarity.metric == "cosine":
            scores = np.max([(image * query).reshape(len(image), -1).sum(1) for image in images], axis=0)
        else:
            scores = np.max([-((image - query) ** 2).reshape(len(image), -1).sum(1) for image in images], axis=0)
        scores[~usable] = -np.inf
        order = np.argsort(-scores, kind="stable")[:k]
        found.append([int(i) for i in order if usable[i]])
    return found


def nearest(
    queries: np.ndarray, kernels: np.ndarray, similarity: Similarity, k: int, block: int = 1000
) -> list[list[int]]:
    candidates = Candidates(Query(kernels=torch.from_numpy(queries), similarity=similarity, k=k))
    flat = kernels.reshape(len(kernels), -1)
    for start in range(0, len(flat), block):
        part = flat[start : start + block]
        candidates.add(torch.from_numpy(part), np.arange(start, start + len(part)))
    found = candidates.result()
    return [found.number[found.query == i].tolist() for i in range(len(queries))]


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
    random = np.random.default_rng(0)
    kernels = random.standard_normal((3000, *size)).astype("f4")
    queries = random.standard_normal((4, *size)).astype("f4")
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


def scores_of(query: np.ndarray, kernels: np.ndarray, similarity: Similarity) -> np.ndarray:
    every = Candidates(Query(kernels=torch.from_numpy(query[None]), similarity=similarity, k=len(kernels)))
    every.add(torch.from_numpy(kernels.reshape(len(kernels), -1)), np.arange(len(kernels)))
    found = every.result()
    return found.score[np.argsort(found.number)]


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
    random = np.random.default_rng(0)
    kernels = random.standard_normal((200, 3, 3)).astype("f4")
    kernels[::2] *= np.float32(factor)
    queries = kernels[[3, 4]]
    assert nearest(queries, kernels, similarity, 5, 30) == reference(queries, kernels, similarity, 5)


def test_the_image_says_how_the_query_is_nearest() -> None:
    query = torch.arange(1.0, 10).reshape(1, 3, 3)
    similarity = Similarity(invariant=("sign", "rotation", "flip"))
    candidates = Candidates(Query(kernels=query, similarity=similarity, k=1))
    candidates.add(-query.rot90(1, (-2, -1)).flatten(1), np.array([5]))
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


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="hamming"):
        Similarity(metric="hamming")
    with pytest.raises(UsageError, match="shift"):
        Similarity(invariant=("shift",))
