"""Choose kernels by a hash of their numbers: the same ones whatever the order in which they are stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

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

    Kernels of zeros and those that are not finite are left out, and so are copies. Memory: about twice the result and
    one block.
    """
    kernels, numbers = np.empty((0, taps), np.float32), np.empty(0, np.int64)
    hashes = np.empty(0, np.uint64)
    for block in blocks:
        usable = np.isfinite(block.kernels).all(1) & (block.kernels != 0).any(1)
        found = hash_kernels(block.kernels, seed)
        limit = hashes[-1] if len(hashes) == n else np.uint64(2**64 - 1)
        rows = np.flatnonzero(usable & (found <= limit))
        hashes = np.concatenate([hashes, found[rows]])
        kernels = np.concatenate([kernels, block.kernels[rows]])
        numbers = np.concatenate([numbers, block.numbers(rows)])
        order = np.lexsort((numbers, hashes))
        first = np.ones(len(order), np.bool_)
        first[1:] = hashes[order[1:]] != hashes[order[:-1]]
        order = order[first][:n]
        hashes, kernels, numbers = hashes[order], kernels[order], numbers[order]
    return Sample(kernels=kernels, numbers=numbers)


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
