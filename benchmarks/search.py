"""Measure exact search against faiss and the limits of the machine, and its results against float64; writes search.md.

python benchmarks/search.py [KERNELS]    5,000,000 kernels of 3x3 by default; needs faiss-cpu

Kernels are normal numbers of many scales, every thousandth a copy of another, so that there are ties. Times are those
of one thread, the best of interleaved runs; kernels are in memory. The limits: reading every kernel once (its sum), and
the products with all queries (their matrix product alone). The reference computes all similarities in float64.
"""

from __future__ import annotations

import itertools
import platform
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.kernel_search import Candidates, Neighbors, Query, Similarity
from filtercrawl.load.kernel_numbers import KernelBlock

REPORT: Final = Path(__file__).with_suffix(".md")
QUERIES: Final = (1, 16, 256)
K: Final = 10
BLOCK_NUMBERS, MAX_PRODUCTS = 1 << 22, 1 << 19
CHANGES: Final = ("scale", "sign", "rotation", "flip")
HEAD: Final = (
    "| metric | queries | seconds | faiss flat, s | times faiss | reading, s | products, s | share of the limit | "
    "million pairs a second |"
)
Array = NDArray[np.float32]


def kernels_of(n: int) -> Array:
    """Return `[n, 3, 3]`."""
    random = np.random.default_rng(0)
    kernels = random.standard_normal((n, 3, 3), np.float32) * np.exp(random.standard_normal((n, 1, 1), np.float32))
    copies = np.arange(0, n, 1000)
    kernels[copies] = kernels[random.integers(0, n, len(copies))]
    return kernels


def search(query: Query, kernels: torch.Tensor, *, compiled: bool = True) -> Neighbors:
    """Search as `filtercrawl.search` does, in kernels `[n, taps]` that are in memory."""
    candidates = Candidates(query, len(kernels) if compiled else 0)
    size = BLOCK_NUMBERS // query.taps
    for start in range(0, len(kernels), size):
        candidates.add(KernelBlock.joined([(kernels[start : start + size].numpy(), start)]))
    return candidates.result()


def reference(queries: Array, kernels: Array, similarity: Similarity) -> Iterator[list[int]]:
    """Yield the numbers of the nearest kernels of each query by float64, with images of the query made by NumPy."""
    flat = kernels.reshape(len(kernels), -1)
    for query in queries.astype(np.float64):
        images = [query]
        if "rotation" in similarity.invariant:
            images = [np.rot90(query, n) for n in range(4)]
        if "flip" in similarity.invariant:
            images = [
                flipped for image in images for flipped in (image, image[::-1], image[:, ::-1], image[::-1, ::-1])
            ]
        scores = np.full(len(flat), -np.inf)
        for start in range(0, len(flat), 200_000):
            part = flat[start : start + 200_000].astype(np.float64)
            norms = np.linalg.norm(part, axis=1)
            if similarity.at_norm_one:
                part = part / norms[:, None]
            for image, sign in itertools.product(images, (1, -1) if similarity.up_to_sign else (1,)):
                one = sign * image.ravel() / (np.linalg.norm(image) if similarity.at_norm_one else 1)
                score = part @ one if similarity.metric == "cosine" else -((part - one) ** 2).sum(1)
                scores[start : start + len(part)] = np.maximum(scores[start : start + len(part)], score)
        best = np.argpartition(-scores, 4 * K)[: 4 * K]
        # Products in another order differ in the last bits: equal kernels are equally near.
        yield best[np.lexsort((best, -np.round(scores[best], 12)))][:K].tolist()


def fastest(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the shortest wall-clock time of each, in seconds."""
    found = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            found[name] = min(found[name], time.perf_counter() - start)
    return found


def speed(kernels: torch.Tensor, n: int, metric: str, rounds: int) -> str:
    """Return a row of the table of speed."""
    import faiss

    queries = torch.from_numpy(np.random.default_rng(1).standard_normal((n, 3, 3), np.float32))
    query = Query(kernels=queries, similarity=Similarity(metric=metric), k=K)
    left, flat = queries.flatten(1), kernels.numpy()
    block = max(min(BLOCK_NUMBERS // 9, MAX_PRODUCTS // n), 1)
    if metric == "cosine":
        norms = np.linalg.norm(flat, axis=1, keepdims=True)
        index, asked = faiss.IndexFlatIP(9), (left / left.norm(dim=1, keepdim=True)).numpy()
        index.add(flat / norms)
    else:
        index, asked = faiss.IndexFlatL2(9), left.numpy()
        index.add(flat)
    times = fastest(
        {
            "ours": lambda: search(query, kernels),
            "faiss": lambda: index.search(asked, K),
            "read": kernels.sum,
            "product": lambda: [left @ part.T for part in kernels.split(block)],
        },
        rounds,
    )
    limit = max(times["read"], times["product"])
    return (
        f"| {metric} | {n} | {times['ours']:.3f} | {times['faiss']:.3f} | {times['faiss'] / times['ours']:.2f} | "
        f"{times['read']:.3f} | {times['product']:.3f} | {limit / times['ours']:.2f} | "
        f"{len(kernels) * n / times['ours'] / 1e6:,.0f} |"
    )


def agreement(kernels: Array) -> Iterator[str]:
    """Yield a row for each metric and set of changes that do not count."""
    queries = np.random.default_rng(2).standard_normal((2, 3, 3)).astype(np.float32)
    queries[1] = kernels[1000]
    for metric in ("cosine", "l2"):
        for count in range(len(CHANGES) + 1):
            for invariant in itertools.combinations(CHANGES, count):
                similarity = Similarity(metric=metric, invariant=invariant)
                found = search(
                    Query(kernels=torch.from_numpy(queries), similarity=similarity, k=K),
                    torch.from_numpy(kernels).flatten(1),
                )
                mine = [found.number[found.query == i].tolist() for i in range(len(queries))]
                equal = sum(a == b for a, b in zip(mine, reference(queries, kernels, similarity), strict=True))
                row = f"| {metric} | {', '.join(invariant) or 'none'} | {equal} of {len(queries)} |"
                print(row, flush=True)
                yield row


def main() -> None:
    """Measure and write the report."""
    torch.set_num_threads(1)
    import faiss

    faiss.omp_set_num_threads(1)
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    kernels = kernels_of(n)
    flat = torch.from_numpy(kernels).flatten(1)
    rows = []
    for metric, queries in itertools.product(("cosine", "l2"), QUERIES):
        rows.append(speed(flat, queries, metric, 5 if queries < 256 else 2))
        print(rows[-1], flush=True)
    text = f"""# Exact search, measured

Written by `python benchmarks/search.py`; {platform.machine()}, one thread; torch {version("torch")}, faiss-cpu
{version("faiss-cpu")}. {n:,} kernels of 3x3 in memory, {K} neighbors. The index of faiss has normalized kernels for the
cosine, which takes it time that is not counted; ours normalizes while it searches, and decides in float64.

{HEAD}
|---|---:|---:|---:|---:|---:|---:|---:|---:|
{chr(10).join(rows)}

The limit is the slower of reading all kernels once and of their products with all queries.

## Agreement

Neighbors equal those of an independent search in float64, in order, ties included; two queries, one of them a kernel
that has a copy.

| metric | changes that do not count | equal |
|---|---|---|
{chr(10).join(agreement(kernels))}
"""
    REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
