"""A shuffle buffer of kernels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray


class ShuffleBuffer:
    """Shuffles a stream of kernels: fills up, draws half of its kernels at random, and fills up again.

    The batches depend only on the random generator and the order of the stream.
    """

    def __init__(self, capacity: int, taps: int, batch_size: int, random: torch.Generator) -> None:
        """Create an empty buffer.

        Args:
            capacity: Kernels that it holds; at least two batches.
            taps: Numbers of a kernel.
            batch_size: Kernels of a batch.
            random: Source of the draws.
        """
        self._held = torch.empty(max(capacity, 2 * batch_size), taps)
        self._count = 0
        self._batch_size = batch_size
        self._random = random

    def batches(self, incoming: Iterable[NDArray[np.float32]]) -> Iterator[torch.Tensor]:
        """Turn arrays `[n, taps]` into shuffled batches `[batch_size, taps]`; the last one may be smaller."""
        for kernels in incoming:
            start = 0
            while start < len(kernels):
                start += self._add(kernels[start:])
                if self._count == len(self._held):
                    yield from self._draw(self._count // 2 // self._batch_size * self._batch_size)
        yield from self._draw(self._count)

    def _add(self, kernels: NDArray[np.float32]) -> int:
        count = min(len(kernels), len(self._held) - self._count)
        self._held.numpy()[self._count : self._count + count] = kernels[:count]
        self._count += count
        return count

    def _draw(self, count: int) -> Iterator[torch.Tensor]:
        # int32 and index_select take half the time of int64 and of indexing with brackets.
        order = torch.randperm(self._count, dtype=torch.int32, generator=self._random)[:count]
        for picks in torch.split(order, self._batch_size):
            yield self._held.index_select(0, picks)
        # Close the gaps: the last of the kernels that stay move to where others were drawn.
        left = self._count - count
        drawn = torch.zeros(self._count, dtype=torch.bool)
        drawn[order] = True
        gaps, late = drawn[:left].nonzero().flatten(), (~drawn[left:]).nonzero().flatten()
        self._held.index_copy_(0, gaps, self._held.index_select(0, late + left))
        self._count = left
