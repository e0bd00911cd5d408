"""Nearest kernels by brute force in float64, and as the package finds them in a stream of blocks."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from filtercrawl.kernel_search import Candidates, Query, Similarity
from filtercrawl.load.kernel_numbers import KernelBlock

METRICS = ("cosine", "l2")
CHANGES = ("scale", "sign", "rotation", "flip")
EVERY = [(metric, some) for metric in METRICS for n in range(5) for some in itertools.combinations(CHANGES, n)]
# Enough for the compiled test, where numba is installed.
MANY = 1 << 40


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


def normal_kernels(size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """3,000 kernels and 4 queries of independent normal numbers."""
    random = np.random.default_rng(0)
    return random.standard_normal((3000, *size)).astype("f4"), random.standard_normal((4, *size)).astype("f4")


def kernels_of_two_scales(n: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernels, every second one with numbers of another scale, and a query of each scale."""
    kernels = np.random.default_rng(0).standard_normal((n, 3, 3)).astype("f4")
    kernels[::2] *= np.float32(factor)
    return kernels, kernels[[3, 4]]


def nearest(
    queries: np.ndarray, kernels: np.ndarray, similarity: Similarity, k: int, block: int = 1000, n_kernels: int = 0
) -> list[list[int]]:
    """Numbers of the nearest kernels; as if there were `n_kernels`, on which depends how they are compared."""
    candidates = Candidates(Query(kernels=torch.from_numpy(queries), similarity=similarity, k=k), n_kernels)
    flat = kernels.reshape(len(kernels), -1)
    for start in range(0, len(flat), block):
        candidates.add(KernelBlock.joined([(flat[start : start + block], start)]))
    found = candidates.result()
    return [found.number[found.query == i].tolist() for i in range(len(queries))]


def scores_of(query: np.ndarray, kernels: np.ndarray, similarity: Similarity) -> np.ndarray:
    """Scores of kernels by the package, in their order."""
    every = Candidates(Query(kernels=torch.from_numpy(query[None]), similarity=similarity, k=len(kernels)))
    every.add(KernelBlock.joined([(kernels.reshape(len(kernels), -1), 0)]))
    found = every.result()
    return found.score[np.argsort(found.number)]
