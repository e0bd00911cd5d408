"""What a benchmark set is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from filtercrawl.api.errors import UsageError
from filtercrawl.kernel_search import Metric


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """Which kernels and queries a set has; the same options and dataset give the same bytes.

    Attributes:
        kernel: Size of the kernels, as in the column `kernel`; their numbers are the dimensions.
        size: Vectors to search in, at most.
        queries: Vectors to search for, which are not among these.
        neighbors: Neighbors of each query; every filter matches at least so many vectors.
        metric: `l2`, or `cosine`: vectors are scaled to norm 1, and neighbors are by `l2` of these.
        seed: Which kernels are chosen.
        where: A condition over `index`; None for all.
    """

    kernel: str = "3x3"
    size: int = 1_000_000
    queries: int = 1_000
    neighbors: int = 100
    metric: Metric = "l2"
    seed: int = 0
    where: str | None = None

    def __post_init__(self) -> None:
        if min(self.size, self.queries, self.neighbors) < 1 or not 0 <= self.seed < 1 << 64:
            raise UsageError("size, queries and neighbors are at least 1, and a seed is from 0 to 2**64 - 1")
        if self.metric not in get_args(Metric):
            raise UsageError(f"no metric is named {self.metric!r}; there are {', '.join(get_args(Metric))}")
