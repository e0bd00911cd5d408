"""A file that remembers what was read of it, and what was wanted before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from filtercrawl.api.range_file import MemoryFile, Span, prefetch
from filtercrawl.api.tensor import StoredTensor


class WantedFile(MemoryFile):
    """reads: (start, stop) of each; unwanted: of those with a byte that nobody had wanted until then."""

    def __init__(self, data: bytes, name: str = "x.bin") -> None:
        super().__init__(data, name)
        self.reads: list[tuple[int, int]] = []
        self.unwanted: list[tuple[int, int]] = []
        self.wanted: list[tuple[int, int]] = []

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        assert all(0 <= start < stop <= self.size for start, stop in ranges)
        self.wanted = merged([*self.wanted, *ranges])

    def read(self, offset: int, length: int) -> bytes:
        read = (offset, offset + length)
        self.reads.append(read)
        if length and not any(start <= offset and read[1] <= stop for start, stop in self.wanted):
            self.unwanted.append(read)
        return super().read(offset, length)

    def forget(self) -> None:
        self.reads, self.unwanted, self.wanted = [], [], []


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join what overlaps or touches."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def want_all(tensors: Iterable[StoredTensor]) -> None:
    """Want the numbers of tensors, as a crawl does before it reads them."""
    prefetch(span for tensor in tensors for span in spans(tensor))


def spans(tensor: StoredTensor) -> Iterable[Span]:
    if (extent := tensor.location) is not None:
        length = extent.span(tuple((0, size) for size in tensor.shape)) * extent.itemsize
        yield Span(extent.file, extent.offset, extent.offset + length)
