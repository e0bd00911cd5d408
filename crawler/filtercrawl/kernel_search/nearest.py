"""The nearest of a stream of kernels, exactly: float32 products choose candidates, float64 decides between them."""

from __future__ import annotations

from typing import Final

import numpy as np

from filtercrawl.kernel_search.compiled_screen import CompiledScreen, should_compile
from filtercrawl.kernel_search.exact_scores import ExactScores
from filtercrawl.kernel_search.neighbors import NearestSoFar, Neighbors
from filtercrawl.kernel_search.query import Query
from filtercrawl.kernel_search.screening import MAX_PAIRS, Pairs, Screen, TorchScreen
from filtercrawl.load.kernel_numbers import KernelBlock

# Kernels that are tested before there are k neighbors, at least; then so many times those that were tested.
_FIRST: Final = 256
_GROWTH: Final = 8


class Candidates:
    """The best kernels so far for each query.

    A kernel of a stream is a candidate if its similarity in float32, raised by a bound on the rounding error, reaches
    that of the k-th best kernel so far; of candidates the similarity is computed again in float64. So the result is
    that of float64 alone. Of equally similar kernels the one of the lowest number is nearer.
    """

    def __init__(self, query: Query, n_kernels: int = 0) -> None:
        """Begin without kernels.

        Args:
            query: What is searched for.
            n_kernels: About how many kernels there will be: compiling a test of them is worth it for many.
        """
        self._exact = ExactScores(query)
        self._nearest = NearestSoFar(len(query.kernels), query.k, query.taps)
        self._screen: Screen = CompiledScreen(query) if should_compile(query, n_kernels) else TorchScreen(query)
        # So some times k kernels of each part are candidates, however many there are.
        self._seen, self._first = 0, max(_FIRST, query.k)
        # Memory for candidates is that of the neighbors: the first kernels are candidates for all queries.
        self._most_pairs = max(MAX_PAIRS, len(query.kernels) * query.k)

    def add(self, block: KernelBlock) -> None:
        """Receive the next kernels of the stream.

        Kernels that are not finite are no neighbors, nor are kernels of zeros where they are compared at norm 1.
        """
        start = 0
        while start < len(block.kernels):
            end = min(start + max(self._first, _GROWTH * self._seen), len(block.kernels))
            for pairs in self._screen.pairs(block.kernels[start:end], self._nearest):
                for part in pairs.split(self._most_pairs):
                    self._measure(part, start, block)
            if self._nearest.full:
                self._seen += end - start
            start = end

    def result(self) -> Neighbors:
        """Return the neighbors, those of a query together and the nearest first."""
        return self._nearest.kept

    def _measure(self, pairs: Pairs, start: int, block: KernelBlock) -> None:
        """Compute the scores of candidates in float64 and keep the best."""
        columns = pairs.column + start
        scores, images = self._exact(pairs.query, block.kernels[columns])
        near = np.flatnonzero((scores >= self._nearest.threshold[pairs.query]) & (scores > -np.inf))
        if len(near):
            columns = columns[near]
            found = Neighbors(
                query=pairs.query[near],
                number=block.numbers(columns),
                score=scores[near],
                image=images[near],
                kernel=block.kernels[columns],
            )
            self._nearest.add(found)
