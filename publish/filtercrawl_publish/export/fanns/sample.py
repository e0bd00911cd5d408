"""Choose kernels by a hash of their numbers: the same ones whatever the order in which they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from filtercrawl.load.kernel_numbers import KernelBlock

# Of SplitMix64, by Steele, Lea and Flood (2014).
_INCREMENT: Final = np.uint64(0x9E3779B97F4A7C15)
_FACTORS: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS: Final = (np.uint64(30), np.uint64(27), np.uint64(31))


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Different kernels in the order of their hashes.

    Attributes:
        kernels: float32 `[n, taps]`.
        numbers: Their numbers in the dataset `[n]`, the lowest of equal kernels.
    """

    kernels: NDArray[np.float32]
    numbers: NDArray[np.int64]


def sample(blocks: Iterable[KernelBlock], taps: int, n: int, seed: int) -> Sample:
    """Return the `n` kernels of the lowest hashes, or all if there are fewer.

    Kernels of zeros and those that are not finite are left out, and so are copies. Memory: some times the result and
    one block.
    """
    chosen = _Hashed.none(taps)
    waiting, count = [chosen], 0
    for block in blocks:
        usable = np.isfinite(block.kernels).all(1) & (block.kernels != 0).any(1)
        hashes = hash_kernels(block.kernels, seed)
        if len(chosen.hashes) == n:
            usable &= hashes <= chosen.hashes[-1]
        rows = np.flatnonzero(usable)
        waiting.append(_Hashed(hashes[rows], block.kernels[rows], block.numbers(rows)))
        count += len(rows)
        if count > n:
            chosen = _Hashed.lowest(waiting, n)
            waiting, count = [chosen], 0
    chosen = _Hashed.lowest(waiting, n)
    return Sample(kernels=chosen.kernels, numbers=chosen.numbers)


class _Hashed(NamedTuple):
    """Kernels with their hashes and numbers."""

    hashes: NDArray[np.uint64]
    kernels: NDArray[np.float32]
    numbers: NDArray[np.int64]

    @classmethod
    def none(cls, taps: int) -> Self:
        return cls(np.empty(0, np.uint64), np.empty((0, taps), np.float32), np.empty(0, np.int64))

    @classmethod
    def lowest(cls, parts: Sequence[_Hashed], n: int) -> Self:
        """Return those of the lowest hashes in order, of equal ones that of the lowest number."""
        hashes = np.concatenate([part.hashes for part in parts])
        numbers = np.concatenate([part.numbers for part in parts])
        order = np.lexsort((numbers, hashes))
        first = np.ones(len(order), np.bool_)
        first[1:] = hashes[order[1:]] != hashes[order[:-1]]
        order = order[first][:n]
        return cls(hashes[order], np.concatenate([part.kernels for part in parts])[order], numbers[order])


def hash_kernels(kernels: NDArray[np.float32], seed: int) -> NDArray[np.uint64]:
    """Return a hash of the bits of each kernel `[n]`, the same for 0.0 and -0.0."""
    bits = (kernels + np.float32(0)).view(np.uint32).astype(np.uint64)
    state = np.full(len(kernels), np.uint64(seed))
    for tap in range(kernels.shape[1]):
        state = _mix((state ^ bits[:, tap]) + _INCREMENT)
    return state


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in zip(_SHIFTS, _FACTORS, strict=False):
        state = (state ^ (state >> shift)) * factor
    return state ^ (state >> _SHIFTS[-1])
