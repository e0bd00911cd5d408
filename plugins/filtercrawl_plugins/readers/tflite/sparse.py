"""Sparse tensors of TFLite: where in the whole tensor each stored number belongs.

Axes are traversed level by level, the whole tensor's first and then those of blocks. A level is dense, with every
index, or lists its indices in segments, one for each entry of the level above (the TACO format; `SparsityParameters` in
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import LazyFile, RandomAccessFile, Span
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl_plugins.formats.flatbuffers import Table

# Bytes of a tensor in memory.
MAX_DENSE_BYTES: Final = 256 << 20
# `struct` codes of one index by `SparseIndexVector`.
_INDEX_CODES: Final = {1: "i", 2: "H", 3: "B"}

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Level:
    """One axis in the order of traversal.

    Attributes:
        size: Number of indices of a dense level.
        segments: Where the indices of each entry above begin, and the end of the last; None for a dense level.
        indices: The indices of all segments.
    """

    size: int
    segments: Indices | None = None
    indices: Indices | None = None


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """How the numbers of a sparse tensor are stored.

    Attributes:
        order: Axes of the tensor and then numbers of blocks, counted on from the last axis, in the order of traversal.
        block_map: The axis that each block divides.
        levels: The levels in the order of traversal.
    """

    order: tuple[int, ...]
    block_map: tuple[int, ...]
    levels: tuple[Level, ...]

    @classmethod
    def parse(cls, table: Table) -> Sparsity:
        """Read the parameters of a tensor; raises FormatError."""
        return cls(
            order=table.integers(0, "i"),
            block_map=table.integers(1, "i"),
            levels=tuple(_level(level) for level in table.tables(2)),
        )

    def positions(self, shape: tuple[int, ...]) -> Indices:
        """Return the place of each stored number in a tensor of this shape, flat and row-major; raises ValueError."""
        rank, blocks = len(shape), len(self.block_map)
        axes, block_order = self.order[:rank], self.order[rank:]
        is_valid = sorted(axes) == list(range(rank)) and sorted(block_order) == list(range(rank, rank + blocks))
        if not is_valid or len(self.levels) != rank + blocks or not all(0 <= axis < rank for axis in self.block_map):
            raise ValueError("levels that do not fit the shape")
        entries = np.zeros(1, np.int64)
        coordinates: list[Indices] = []
        for level in self.levels:
            entries, parents, indices = _descend(level, entries, math.prod(shape))
            coordinates = [*(above[parents] for above in coordinates), indices]
        places = dict(zip(axes, coordinates, strict=False))
        for number, level, inner in zip(block_order, self.levels[rank:], coordinates[rank:], strict=True):
            axis = self.block_map[number - rank]
            places[axis] = places[axis] * level.size + inner
        return np.ravel_multi_index([places[axis] for axis in range(rank)], shape).astype(np.int64)


def _level(table: Table) -> Level:
    size = table.number(1, "<i")
    if table.number(0, "<b") == 0:
        return Level(size=size)
    return Level(size=size, segments=_vector(table, 2), indices=_vector(table, 4))


def _vector(table: Table, field: int) -> Indices:
    """Read a union of vectors: its type, and in the next field its table."""
    vector, code = table.table(field + 1), _INDEX_CODES.get(table.number(field, "<B"))
    if vector is None or code is None:
        raise FormatError(f"{table.flat.file.name}: a sparse tensor without indices")
    return vector.array(0, code)


def _descend(level: Level, entries: Indices, limit: int) -> tuple[Indices, Indices, Indices]:
    """Return the entries of the next level, the number of the entry above each, and its index; raises ValueError."""
    if level.segments is None or level.indices is None:
        if not 0 < level.size <= limit or len(entries) * level.size > limit:
            raise ValueError("a level with more entries than the tensor has numbers")
        indices = np.tile(np.arange(level.size), len(entries))
        parents = np.repeat(np.arange(len(entries)), level.size)
        return entries[parents] * level.size + indices, parents, indices
    if len(entries) and int(entries.max()) + 1 >= len(level.segments):
        raise ValueError("a level with fewer segments than entries above")
    starts, counts = level.segments[entries], level.segments[entries + 1] - level.segments[entries]
    if (counts < 0).any() or (starts < 0).any() or (starts + counts > len(level.indices)).any():
        raise ValueError("segments outside of the indices")
    if int(counts.sum()) > limit:
        raise ValueError("a level with more entries than the tensor has numbers")
    parents = np.repeat(np.arange(len(entries)), counts)
    found = np.arange(len(parents)) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    return found, parents, level.indices[found]


def sparse_location(
    file: RandomAccessFile, span: Span, sparsity: Sparsity, dtype: str, shape: tuple[int, ...]
) -> TensorLocation | None:
    """Return the whole tensor, whose other numbers are 0, decoded at the first read; None if it is too large.

    Args:
        file: The model.
        span: The stored numbers.
        sparsity: Where they belong.
        dtype: A key of `ITEMSIZE`.
        shape: Shape of the tensor.
    """
    size = math.prod(shape) * ITEMSIZE[dtype]
    if not 0 < size <= MAX_DENSE_BYTES:
        return None

    def decode() -> bytes:
        stored = np.frombuffer(file.read(span.start, span.stop - span.start), np.uint8).reshape(-1, ITEMSIZE[dtype])
        whole = np.zeros((math.prod(shape), ITEMSIZE[dtype]), np.uint8)
        try:
            whole[sparsity.positions(shape)] = stored
        except ValueError as error:
            raise FormatError(f"{file.name}: an invalid sparse tensor of shape {list(shape)} ({error})") from error
        return whole.tobytes()

    return TensorLocation(file=LazyFile(size, decode, file.name, [span]), offset=0, dtype=dtype, shape=shape)
