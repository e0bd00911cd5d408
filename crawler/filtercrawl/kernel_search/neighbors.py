"""The nearest kernels that have been found so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbors:
    """Pairs of a query and a kernel.

    Attributes:
        query: The query [pairs].
        number: Number of the kernel [pairs].
        score: The cosine, or the negative of the squared distance [pairs].
        image: Place of the nearest image of the query in `Similarity.images`; -1 minus that place where the sign is the
            other one [pairs].
        kernel: The kernel, float32 [pairs, taps].
    """

    query: NDArray[np.int64]
    number: NDArray[np.int64]
    score: NDArray[np.float64]
    image: NDArray[np.int64]
    kernel: NDArray[np.float32]

    @classmethod
    def none(cls, taps: int) -> Self:
        """Return no pairs."""
        empty = np.array([], np.int64)
        score, kernel = np.array([], np.float64), np.empty((0, taps), np.float32)
        return cls(query=empty, number=empty, image=empty, score=score, kernel=kernel)

    def joined(self, other: Neighbors) -> Neighbors:
        """Return these pairs and others."""
        return Neighbors(**{name: np.concatenate([own, getattr(other, name)]) for name, own in vars(self).items()})

    def take(self, which: NDArray[np.int64]) -> Neighbors:
        """Return the pairs at these places."""
        return Neighbors(**{name: own[which] for name, own in vars(self).items()})


class NearestSoFar:
    """The k nearest kernels of each query, of those that were added.

    Attributes:
        kept: Them; those of a query together and the nearest first.
        threshold: The score of the k-th nearest kernel of each query, -inf while there are fewer, float64 [queries].
    """

    def __init__(self, n_queries: int, k: int, taps: int) -> None:
        """Begin without kernels."""
        self._n, self._k = n_queries, k
        self.kept = Neighbors.none(taps)
        self.threshold: NDArray[np.float64] = np.full(n_queries, -np.inf)

    @property
    def full(self) -> bool:
        """Whether every query has k neighbors."""
        return len(self.kept.query) == self._n * self._k

    def add(self, more: Neighbors) -> None:
        """Keep the nearest of what there is and of these. Of equal scores the lower number is nearer."""
        every = self.kept.joined(more)
        order = np.lexsort((every.number, -every.score, every.query))
        query = every.query[order]
        kept = np.arange(len(query)) - np.searchsorted(query, query) < self._k
        self.kept = every.take(order[kept])
        found = np.bincount(self.kept.query, minlength=self._n)
        full = found == self._k
        self.threshold[full] = self.kept.score[(np.cumsum(found) - 1)[full]]
