"""Arrays of more than 1 GiB in Flax checkpoints, which `flax.serialization` writes as a map of flat chunks.

Such a map is `{"__msgpack_chunked_array__": True, "shape": {"0": 3, ...}, "chunks": {"0": array, ...}}`; the
first key tells, whatever its value.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl.api.formatting import shown
from filtercrawl.api.range_file import RandomAccessFile, Span, check_range
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation

MARK: Final = "__msgpack_chunked_array__"

Path = tuple[str, ...]


@dataclass
class Chunked:
    """What a file holds of one array, by the keys of the two maps."""

    shape: dict[str, object] = field(default_factory=dict)
    chunks: dict[str, object] = field(default_factory=dict)


class JoinedFile:
    """Parts of files, one after the other."""

    def __init__(self, name: str, parts: Iterable[Span]) -> None:
        """Join parts; nothing is read."""
        self.name = name
        self._parts = tuple(part for part in parts if part.start < part.stop)
        self._starts = (0, *accumulate(part.stop - part.start for part in self._parts))

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return self._starts[-1]

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; raises CheckpointError."""
        check_range(self, offset, length)
        spans = self.source_spans(offset, offset + length)
        return b"".join(span.file.read(span.start, span.stop - span.start) for span in spans)

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        """Yield the same bytes of the files that hold them."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        for part, begin in zip(self._parts[first:], self._starts[first:], strict=False):
            if begin >= stop:
                return
            yield Span(part.file, part.start + max(start - begin, 0), min(part.stop, part.start + stop - begin))


def join_chunks(file: RandomAccessFile, leaves: Iterable[tuple[Path, object]]) -> Iterator[tuple[Path, object]]:
    """Yield the values of a file; each array that is stored in chunks is one, after all others.

    Raises:
        FormatError: Chunks do not make the array that they are said to be.
    """
    kept = list(leaves)
    found = {path[:-1]: Chunked() for path, _ in kept if path and path[-1] == MARK}
    for path, value in kept:
        if path and path[-1] == MARK and path[:-1] in found:
            continue
        chunked = found.get(path[:-2]) if len(path) > 1 else None
        if chunked is not None and path[-2] == "shape":
            chunked.shape[path[-1]] = value
        elif chunked is not None and path[-2] == "chunks":
            chunked.chunks[path[-1]] = value
        else:
            yield path, value
    for path, chunked in found.items():
        yield path, joined(file, path, chunked)


def joined(file: RandomAccessFile, path: Path, chunked: Chunked) -> StoredTensor:
    """Return the array of chunks, with its axes in the order of the file; raises FormatError."""
    name = "/".join(path)
    shape = tuple(size for size in in_order(chunked.shape) if type(size) is int and 0 <= size < 1 << 62)
    chunks = [chunk for chunk in in_order(chunked.chunks) if isinstance(chunk, StoredTensor) and len(chunk.shape) == 1]
    dtypes = {chunk.dtype for chunk in chunks}
    size = sum(math.prod(chunk.shape) for chunk in chunks)
    whole = (len(shape), len(chunks)) == (len(chunked.shape), len(chunked.chunks))
    if not whole or len(dtypes) != 1 or math.prod(shape) != size:
        raise FormatError(f"{file.name}: the chunks of {shown(name)} do not make an array")
    dtype = dtypes.pop()
    spans = [chunk.location.byte_span for chunk in chunks if chunk.location is not None]
    location = None
    if len(spans) == len(chunks):
        location = TensorLocation(file=JoinedFile(file.name, spans), offset=0, dtype=dtype, shape=shape)
    return StoredTensor(
        name=name,
        key=".".join(path),
        shape=shape,
        dtype=dtype,
        location=location,
        reason=None if location else "unreadable",
    )


def in_order(items: dict[str, object]) -> list[object]:
    """Return the values of keys "0", "1", ... without a gap, and none where another key is there."""
    keys = [str(index) for index in range(len(items))]
    return [items[key] for key in keys] if keys == sorted(items, key=lambda key: (len(key), key)) else []
