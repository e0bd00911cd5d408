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

    def __init__(
        self, capacity: int, taps: int, batch_size: int, random: torch.Generator, *, numbered: bool = False
    ) -> None:
        """Create an empty buffer.

        Args:
            capacity: Kernels that it holds; at least two batches.
            taps: Numbers of a kernel.
            batch_size: Kernels of a batch.
            random: Source of the draws.
            numbered: Whether it keeps the numbers of kernels.
        """
        self._held = torch.empty(max(capacity, 2 * batch_size), taps)
        self._numbers = torch.empty(len(self._held), dtype=torch.int64) if numbered else None
        self._count = 0
        self._batch_size = batch_size
        self._random = random

    def batches(
        self, incoming: Iterable[tuple[NDArray[np.float32], NDArray[np.int64] | None]]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Turn arrays into shuffled batches; the last one may be smaller.

        Args:
            incoming: Kernels `[n, taps]` with their numbers `[n]`; without them if they are not kept.

        Yields:
            Kernels `[batch_size, taps]` with their numbers `[batch_size]`; None if these are not kept.
        """
        for kernels, numbers in incoming:
            start = 0
            while start < len(kernels):
                start += self._add(kernels[start:], None if numbers is None else numbers[start:])
                if self._count == len(self._held):
                    yield from self._draw(self._count // 2 // self._batch_size * self._batch_size)
        if self._count:
            yield from self._draw(self._count)

    def _add(self, kernels: NDArray[np.float32], numbers: NDArray[np.int64] | None) -> int:
        count = min(len(kernels), len(self._held) - self._count)
        self._held.numpy()[self._count : self._count + count] = kernels[:count]
        if self._numbers is not None and numbers is not None:
            self._numbers.numpy()[self._count : self._count + count] = numbers[:count]
        self._count += count
        return count

    def _draw(self, count: int) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        # int32 and index_select take half the time of int64 and of indexing with brackets.
        order = torch.randperm(self._count, dtype=torch.int32, generator=self._random)[:count]
        for picks in torch.split(order, self._batch_size):
            numbers = None if self._numbers is None else self._numbers.index_select(0, picks)
            yield self._held.index_select(0, picks), numbers
        # Close the gaps: the last of the kernels that stay move to where others were drawn.
        left = self._count - count
        drawn = torch.zeros(self._count, dtype=torch.bool)
        drawn[order] = True
        gaps, late = drawn[:left].nonzero().flatten(), (~drawn[left:]).nonzero().flatten()
        for held in (self._held, self._numbers):
            if held is not None:
                held.index_copy_(0, gaps, held.index_select(0, late + left))
        self._count = left
