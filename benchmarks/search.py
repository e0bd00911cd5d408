"""Measure exact search against faiss and the limits of the machine, and its results against float64.

python benchmarks/search.py [KERNELS]    5,000,000 kernels of 3x3 by default; needs faiss-cpu and numba

With the default number of kernels it writes search.md, and prints otherwise.

Kernels are normal numbers of many scales, every thousandth a copy of another, so that there are ties; they are in
memory. Times are medians of interleaved runs in processor seconds of one thread, so that other work on the machine
counts little. The limits: reading every kernel once (its sum), and the products with all queries, by torch into memory
that stays in the cache. The reference computes all similarities in float64.
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
from ratios import Ratio, record

from filtercrawl.kernel_search import Candidates, Neighbors, Query, Similarity
from filtercrawl.load.kernel_numbers import KernelBlock

REPORT: Final = Path(__file__).with_suffix(".md")
QUERIES: Final = (1, 16, 256)
ROUNDS: Final = {1: 15, 16: 7, 256: 3}
K: Final = 10
KERNELS: Final = 5_000_000
# Of the limit of the machine, the least share that is good enough.
SHARE: Final = 0.8
BLOCK_NUMBERS, MAX_PRODUCTS, MAX_KERNELS = 1 << 22, 1 << 19, 1 << 16
CHANGES: Final = ("scale", "sign", "rotation", "flip")
HEAD: Final = (
    "| metric | queries | compiled, s | torch, s | faiss flat, s | times faiss | reading, s | products, s | "
    "share of the limit | million pairs a second |"
)
# Kernels and settings of an approximate index, for comparison.
INDEXED: Final = 500_000
LINKS, CANDIDATES = 16, (16, 64, 256)
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


def medians(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median processor time of each, in seconds; the first round does not count."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            start = time.thread_time()
            run()
            found[name].append(time.thread_time() - start)
    return {name: float(np.median(times[1:])) for name, times in found.items()}


def products(left: torch.Tensor, kernels: torch.Tensor) -> None:
    """Compute the products of all queries and kernels, a part at a time."""
    size = min(max(MAX_PRODUCTS // len(left), 256), MAX_KERNELS)
    room = torch.empty(len(left) * size)
    for part in kernels.split(size):
        torch.mm(left, part.T, out=room[: len(left) * len(part)].view(len(left), -1))


def speed(kernels: torch.Tensor, n: int, metric: str) -> str:
    """Return a row of the table of speed."""
    import faiss

    queries = torch.from_numpy(np.random.default_rng(1).standard_normal((n, 3, 3), np.float32))
    query = Query(kernels=queries, similarity=Similarity(metric=metric), k=K)
    left, flat = queries.flatten(1), kernels.numpy()
    if metric == "cosine":
        norms = np.linalg.norm(flat, axis=1, keepdims=True)
        index, asked = faiss.IndexFlatIP(9), (left / left.norm(dim=1, keepdim=True)).numpy()
        index.add(flat / norms)
    else:
        index, asked = faiss.IndexFlatL2(9), left.numpy()
        index.add(flat)
    times = medians(
        {
            "compiled": lambda: search(query, kernels),
            "torch": lambda: search(query, kernels, compiled=False),
            "faiss": lambda: index.search(asked, K),
            "read": kernels.sum,
            "products": lambda: products(left, kernels),
        },
        ROUNDS[n],
    )
    limit = max(times["read"], times["products"])
    what = f"{metric}, {len(kernels) / 1e6:g} million kernels, queries at a time: {n}, speed"
    record(
        [
            Ratio(what=what, peer="faiss-cpu, flat", value=times["faiss"] / times["compiled"]),
            Ratio(what=what, peer="reading or products", value=limit / times["compiled"], at_least=SHARE),
        ]
    )
    return (
        f"| {metric} | {n} | {times['compiled']:.4f} | {times['torch']:.4f} | {times['faiss']:.4f} | "
        f"{times['faiss'] / times['compiled']:.2f} | {times['read']:.4f} | {times['products']:.4f} | "
        f"{limit / times['compiled']:.2f} | {len(kernels) * n / times['compiled'] / 1e6:,.0f} |"
    )


def approximate(kernels: torch.Tensor) -> Iterator[str]:
    """Yield rows of a table on a graph index of faiss: time to build it and to search, and recall."""
    import faiss

    some = kernels[:INDEXED].numpy()
    queries = np.random.default_rng(3).standard_normal((256, 9), np.float32)
    query = Query(kernels=torch.from_numpy(queries).view(-1, 3, 3), similarity=Similarity(metric="l2"), k=K)
    start = time.thread_time()
    exact = search(query, torch.from_numpy(some)).number.reshape(-1, K)
    yield f"| exact | | | {(time.thread_time() - start) / 256 * 1e3:.3f} | 1 |"
    index = faiss.IndexHNSWFlat(9, LINKS)
    start = time.thread_time()
    index.add(some)
    built = time.thread_time() - start
    size = len(faiss.serialize_index(index)) / len(some)
    for candidates in CANDIDATES:
        index.hnsw.efSearch = candidates
        start = time.thread_time()
        _, found = index.search(queries, K)
        took = (time.thread_time() - start) / 256 * 1e3
        recall = np.mean([len({*a} & {*b}) / K for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
        yield f"| HNSW, {LINKS} links, {candidates} candidates | {built:.0f} | {size:.0f} | {took:.3f} | {recall:.3f} |"


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
    n = int(sys.argv[1]) if len(sys.argv) > 1 else KERNELS
    kernels = kernels_of(n)
    flat = torch.from_numpy(kernels).flatten(1)
    rows = []
    for metric, queries in itertools.product(("cosine", "l2"), QUERIES):
        rows.append(speed(flat, queries, metric))
        print(rows[-1], flush=True)
    index = "\n".join(approximate(flat))
    print(index, flush=True)
    text = f"""# Exact search, measured

Written by `python benchmarks/search.py`; {platform.machine()}, processor seconds of one thread; torch
{version("torch")}, numba {version("numba")}, faiss-cpu {version("faiss-cpu")}. {n:,} kernels of 3x3 in memory, {K}
neighbors. `compiled` is with numba, `torch` without it. The index of faiss has normalized kernels for the cosine, which
takes it time that is not counted; ours normalizes while it searches, and decides in float64. Search of a dataset, with
reading, is in search_dataset.md.

{HEAD}
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
{chr(10).join(rows)}

The limit is the slower of reading all kernels once and of their products with all queries.

## An approximate index

{INDEXED:,} of the kernels, 256 queries, L2, {K} neighbors.

| search | to build, s | bytes a kernel | a query, ms | recall |
|---|---:|---:|---:|---:|
{index}

## Agreement

Neighbors equal those of an independent search in float64 of all {n:,} kernels, in order, ties included; two queries,
one of them a kernel that has a copy.

| metric | changes that do not count | equal |
|---|---|---|
{chr(10).join(agreement(kernels))}
"""
    if n == KERNELS:
        REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
