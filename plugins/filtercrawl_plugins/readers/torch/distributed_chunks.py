"""Chunks of tensors in the shards of `torch.distributed.checkpoint`, joined when they are read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import FileSlice, RandomAccessFile, Span, check_range
from filtercrawl.api.reader import Files
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.readers.torch.legacy import is_legacy, load_legacy
from filtercrawl_plugins.readers.torch.storage import LoadedObject
from filtercrawl_plugins.readers.torch.tensor_locator import TensorLocator
from filtercrawl_plugins.readers.torch.tensor_walk import TensorPath, TensorWalk
from filtercrawl_plugins.readers.torch.zip_file import PICKLE_NAME, TorchArchive

Sizes = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A part of a tensor and its place.

    Attributes:
        offsets: Index of its first element in the tensor.
        sizes: Its shape.
        path: Name of the shard.
        start: Offset of its archive in the shard.
        length: Bytes of its archive.
    """

    offsets: Sizes
    sizes: Sizes
    path: str
    start: int
    length: int

    def overlaps(self, other: Chunk) -> bool:
        """Return whether two chunks of one tensor share an element."""
        if 0 in self.sizes or 0 in other.sizes:
            return False
        axes = zip(self.offsets, self.sizes, other.offsets, other.sizes, strict=True)
        return all(start < other_start + n and other_start < start + size for start, size, other_start, n in axes)


@dataclass(frozen=True, kw_only=True)
class TensorRecord:
    """A tensor as the metadata describe it.

    Attributes:
        name: Full name in the state dict.
        path: Keys of the containers above it, and its own; () if they are unknown.
        dtype: Name of the torch dtype.
        shape: Sizes.
        chunks: The parts that are stored; () if they do not cover the tensor exactly.
    """

    name: str
    path: tuple[str, ...]
    dtype: str
    shape: Sizes
    chunks: tuple[Chunk, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that lead to it."""
        return self.path or tuple(self.name.split("."))


class ChunkedTensorFile:
    """The elements of a tensor in row-major order, read from the archives of its chunks."""

    def __init__(self, files: Files, record: TensorRecord, budget: Budget) -> None:
        """Describe a tensor; raises CheckpointError if a shard is missing or too short for a chunk."""
        self.name = files.main.name
        dtype = record.dtype
        for chunk in record.chunks:
            if math.prod(chunk.sizes) * ITEMSIZE[dtype] > chunk.length:
                raise FormatError(
                    f"{self.name}: a chunk of {chunk.path} has {chunk.length} bytes, too few for {list(chunk.sizes)}"
                )
        self.size = math.prod(record.shape) * ITEMSIZE[dtype]
        self._shape = record.shape
        self._dtype = dtype
        self._budget = budget
        self._chunks = sorted(record.chunks, key=lambda chunk: chunk.offsets)
        self._archives = [FileSlice(files.open(chunk.path), chunk.start, chunk.length) for chunk in self._chunks]
        self._locations: dict[int, TensorLocation] = {}

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; only the rows of the first axis that contain them are read."""
        check_range(self, offset, length)
        if not length:
            return b""
        itemsize = ITEMSIZE[self._dtype]
        if not self._shape:
            return self._location(0).read(()).tobytes()[offset : offset + length]
        row = math.prod(self._shape[1:]) * itemsize
        first, last = offset // row, -(-(offset + length) // row)
        rows = np.zeros((last - first, *self._shape[1:], itemsize), np.uint8)
        for index, chunk in enumerate(self._chunks):
            self._copy(index, chunk, first, rows)
        start = offset - first * row
        return rows.reshape(-1)[start : start + length].tobytes()

    def _copy(self, index: int, chunk: Chunk, first: int, rows: NDArray[np.uint8]) -> None:
        """Copy the part of a chunk that lies in the rows from `first` on."""
        begin = max(chunk.offsets[0], first)
        end = min(chunk.offsets[0] + chunk.sizes[0], first + len(rows))
        if begin >= end or 0 in chunk.sizes:
            return
        inner = tuple((0, size) for size in chunk.sizes[1:])
        box = ((begin - chunk.offsets[0], end - chunk.offsets[0]), *inner)
        target = tuple(slice(at, at + size) for at, size in zip(chunk.offsets[1:], chunk.sizes[1:], strict=True))
        rows[(slice(begin - first, end - first), *target)] = self._location(index).read(box)

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        """Yield the archives of all chunks."""
        if start < stop:
            yield from (Span(archive, 0, archive.size) for archive in self._archives)

    def _location(self, index: int) -> TensorLocation:
        if index not in self._locations:
            self._locations[index] = self._locate(self._chunks[index], self._archives[index])
        return self._locations[index]

    def _locate(self, chunk: Chunk, archive: RandomAccessFile) -> TensorLocation:
        loaded = load_archive(archive, self._budget)
        found = list(islice(TensorWalk(archive.name, self._budget).tensors(loaded.value, TensorPath()), 2))
        locator = TensorLocator(archive, loaded.locate_storage, self._budget)
        located = locator.locate(found[0]) if len(found) == 1 else None
        location = located.location if located is not None else None
        if location is None or location.shape != chunk.sizes or location.dtype != self._dtype:
            raise FormatError(
                f"{self.name}: the chunk at byte {chunk.start} of {chunk.path} is not the {self._dtype} "
                f"{list(chunk.sizes)} that the metadata describe; fetch both again"
            )
        return location


def load_archive(archive: RandomAccessFile, budget: Budget) -> LoadedObject:
    """Load the object of an archive that is part of a checkpoint, within its budget; raises CheckpointError."""
    if is_legacy(archive):
        return load_legacy(archive, budget)
    return TorchArchive(archive, budget).load_pickle(PICKLE_NAME, "data")
