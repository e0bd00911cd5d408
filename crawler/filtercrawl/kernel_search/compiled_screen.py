"""The test of `screening` in one compiled pass over kernels and queries, where numba is installed.

Products are not written to memory, which is what takes matrix products of so few rows most of their time. Blocks of
kernels are transposed in the innermost cache, so that 16 kernels are compared at a time.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.kernel_search.neighbors import NearestSoFar
from filtercrawl.kernel_search.query import Query
from filtercrawl.kernel_search.screening import LARGE, MAX_PAIRS, SMALL, Cuts, Pairs

# Kernels that are transposed at a time.
_BLOCK: Final = 128
# Fewer pairs to test are not worth the import of numba.
_MIN_PAIRS: Final = 1 << 22
# Pairs of a thread that are worth its start.
_PAIRS_OF_THREAD: Final = 1 << 19

Numbers = NDArray[np.float32]


def should_compile(query: Query, n_kernels: int) -> bool:
    """Return whether `CompiledScreen` is the way to search so many kernels: they are enough, and numba works."""
    pairs = n_kernels * len(query.kernels) * len(query.similarity.names(query.kernel_size))
    return query.device.type == "cpu" and pairs >= _MIN_PAIRS and _numba() is not None


class CompiledScreen:
    """Tests on the CPU, in as many threads as torch has; only where `should_compile` is true."""

    def __init__(self, query: Query) -> None:
        """Compile the test for kernels of this size."""
        similarity = query.similarity
        self._cuts = Cuts(query)
        self._test = _compiled_test(query.taps, similarity.at_norm_one, similarity.up_to_sign)
        self._rows = self._cuts.left.shape[0] * self._cuts.left.shape[1]

    def pairs(self, kernels: Numbers, nearest: NearestSoFar) -> Iterator[Pairs]:
        """Yield the pairs that pass; see `Screen`."""
        size = max(-(-len(kernels) // torch.get_num_threads()), _PAIRS_OF_THREAD // self._rows, _BLOCK)
        parts = [_Part(kernels[i : i + size], i, len(nearest.threshold)) for i in range(0, len(kernels), size)]
        with ThreadPoolExecutor(len(parts)) if len(parts) > 1 else contextlib.nullcontext() as pool:
            while parts:
                cut = self._cuts(nearest.threshold)
                test = lambda part, cut=cut: part.test(self._test, self._cuts, cut)  # noqa: E731 - a function of one
                yield from (found for found in (pool.map if pool else map)(test, parts) if len(found.query))
                parts = [part for part in parts if not part.done]


class _Part:
    """The part of a block that one thread tests."""

    def __init__(self, kernels: Numbers, first: int, n_queries: int) -> None:
        self._kernels, self._first = kernels.reshape(-1), first
        self._kernels.flags.writeable = False  # the test is compiled for one kind of array
        self._size = len(kernels)
        self._place = np.zeros(2, np.int64)
        room = MAX_PAIRS
        self._found = np.empty((2, room), np.int64)
        self._n_queries = n_queries

    @property
    def done(self) -> bool:
        return bool(self._place[0] >= self._size)

    def test(self, compiled: Callable[..., int], cuts: Cuts, cut: Numbers) -> Pairs:
        """Go on until all is tested or the memory for pairs is full."""
        count = compiled(self._kernels, cuts.left, cut, 1 - 3 * cuts.error, self._place, self._found)
        return Pairs(self._found[0, :count].copy(), self._found[1, :count] + self._first)


@cache
def _numba() -> Any:
    """Return numba; None where it does not work."""
    try:
        import numba
    except ImportError:
        return None
    return numba


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    # Sums may be reassociated into vector lanes; NaN and infinities keep their meaning.
    options: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy", "nogil": True}
    with contextlib.suppress(RuntimeError):  # there is no folder to cache the machine code in
        cached: Callable[..., Any] = _numba().njit(cache=True, **options)(function)
        return cached
    uncached: Callable[..., Any] = _numba().njit(**options)(function)
    return uncached


@cache
def _compiled_test(taps: int, at_norm_one: bool, up_to_sign: bool) -> Callable[..., int]:  # noqa: C901 - as below
    """Return the test for kernels of so many taps: with constants in its loops it is several times as fast."""
    # Transposing by two small factors is what compilers make a few shuffles of.
    inner = max(factor for factor in range(1, 9) if taps % factor == 0)
    outer = taps // inner
    block, small, large = _BLOCK, SMALL, LARGE

    def test(  # noqa: C901 - one function of plain loops compiles to a few instructions per number
        kernels: Numbers,
        left: Numbers,
        cut: Numbers,
        shrink: float,
        place: NDArray[np.int64],
        found: NDArray[np.int64],
    ) -> int:
        """Fill `found` with queries and columns of pairs that pass, from a place on, and move the place.

        Args:
            kernels: `[m * taps]`.
            left: Images of queries `[images, n, taps]`.
            cut: Of each query.
            shrink: 1 less the bound on the rounding error of a squared norm.
            place: The first kernel of a block, and the query, to begin with.
            found: `[2, room]`.

        Returns:
            The number of pairs.
        """
        n = kernels.shape[0] // taps
        n_images, n_queries = left.shape[0], left.shape[1]
        last, halves, columns = np.zeros(taps * block, np.float32), np.empty(taps * block, np.float32), found[1]
        lanes = np.empty(taps * block, np.float32)
        scale, offset, score = np.ones(block, np.float32), np.zeros(block, np.float32), np.empty(block, np.float32)
        shrink_half = np.float32(shrink / 2)
        count, first_query = 0, place[1]
        for start in range(place[0], n, block):
            size = min(block, n - start)
            source = kernels[start * taps : (start + size) * taps]
            if size < block:
                for j in range(size * taps):
                    last[j] = source[j]
                source = last
            for j in range(outer * block):
                for i in range(inner):
                    halves[i * outer * block + j] = source[inner * j + i]
            for i in range(inner):
                for k in range(block):
                    for r in range(outer):
                        lanes[(r * inner + i) * block + k] = halves[i * outer * block + outer * k + r]
            unusual = 0
            for k in range(block):
                squares = np.float32(0)
                for i in range(taps):
                    squares += lanes[i * block + k] * lanes[i * block + k]
                if at_norm_one:
                    scale[k] = np.sqrt(squares)
                    offset[k] = np.float32(0)
                    unusual += not small < squares < large
                else:
                    offset[k] = squares * shrink_half
                    unusual += not squares < large
            if unusual or size < block:
                for k in range(block):
                    peak, zero = np.float32(0), np.float32(0)
                    for i in range(taps):
                        peak = max(peak, abs(lanes[i * block + k]))
                        zero += lanes[i * block + k] * np.float32(0)
                    if k >= size or zero != 0 or (at_norm_one and peak == 0):
                        offset[k] = np.nan  # nothing reaches it
                    elif at_norm_one and not small < scale[k] * scale[k] < large:
                        factor = math.ldexp(1.0, -math.frexp(peak)[1])
                        squares = np.float32(0)
                        for i in range(taps):
                            lanes[i * block + k] = np.float32(lanes[i * block + k] * factor)
                            squares += lanes[i * block + k] * lanes[i * block + k]
                        scale[k] = np.sqrt(squares)
                    elif not at_norm_one and not offset[k] < large / 4:
                        offset[k] = -np.inf  # all reach it
                        for i in range(taps):
                            lanes[i * block + k] = np.float32(0)
            for query in range(first_query, n_queries):
                if count + block > found.shape[1]:
                    place[0], place[1] = start, query
                    return count
                for image in range(n_images):
                    row = left[image, query]
                    for k in range(block):
                        product = np.float32(0)
                        for i in range(taps):
                            product += row[i] * lanes[i * block + k]
                        if up_to_sign:
                            product = abs(product)
                        if image == 0:
                            score[k] = product
                        else:
                            score[k] = max(score[k], product)
                passed = 0
                for k in range(block):
                    passed += score[k] >= cut[query] * scale[k] + offset[k]
                if passed:
                    for k in range(block):
                        if score[k] >= cut[query] * scale[k] + offset[k]:
                            found[0, count], columns[count] = query, start + k
                            count += 1
            first_query = 0
        place[0], place[1] = n, 0
        return count

    return _compile(test)
