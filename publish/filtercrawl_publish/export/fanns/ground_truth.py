"""The exact neighbors of all queries under their filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.kernel_search import Candidates, Query, Similarity
from filtercrawl.load.kernel_numbers import KernelBlock
from filtercrawl_publish.export.fanns.filters import Filter

_BLOCK: Final = 1 << 18


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundTruth:
    """Neighbors among the vectors that meet the filter of each query.

    Attributes:
        filters: The filters.
        filter_of: The filter of each query [queries].
        neighbors: Rows of vectors, the nearest first, equally near ones in order, int32 [queries, neighbors].
        distances: Squared Euclidean distances, computed in float64 [queries, neighbors].
    """

    filters: Sequence[Filter]
    filter_of: NDArray[np.int64]
    neighbors: NDArray[np.int32]
    distances: NDArray[np.float64]


def ground_truth(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], filters: Sequence[Filter], k: int
) -> GroundTruth:
    """Give each query one of the filters in turn, and find its neighbors; each filter matches at least `k` vectors."""
    filter_of = np.arange(len(queries)) % len(filters)
    neighbors = np.empty((len(queries), k), np.int32)
    distances = np.empty((len(queries), k))
    for number, chosen in enumerate(filters):
        asked = np.flatnonzero(filter_of == number)
        if not len(asked):
            continue
        query = Query(kernels=torch.from_numpy(queries[asked]), similarity=Similarity(metric="l2"), k=k)
        candidates = Candidates(query, len(chosen.rows))
        for start in range(0, len(chosen.rows), _BLOCK):
            part = vectors[chosen.rows[start : start + _BLOCK]]
            candidates.add(KernelBlock.joined([(part, start)]))
        found = candidates.result()
        neighbors[asked] = chosen.rows[found.number].reshape(-1, k)
        distances[asked] = -found.score.reshape(-1, k)
    return GroundTruth(filters=filters, filter_of=filter_of, neighbors=neighbors, distances=distances)
