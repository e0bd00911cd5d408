"""One model of a published file as a file of its own: magic, length of the header, JSON header, kernels by layer.

The header is `{"dtype": ..., "layers": [[name, number of kernels, conv_depth, conv_depth_norm], ...]}`.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from filtercrawl.api.range_file import Span, check_range
from filtercrawl_plugins.cnn_filter_db.hdf5 import Hdf5
from filtercrawl_plugins.cnn_filter_db.kernels import StoredKernels
from filtercrawl_plugins.cnn_filter_db.models import PublishedLayer

MAGIC: Final = b"\x89filtercrawl cnn-filter-db 1\r\n"
# Bytes of the header's length after the magic, little-endian.
LENGTH_BYTES: Final = 8


def build_header(dtype: str, layers: Sequence[PublishedLayer]) -> bytes:
    """Return magic, length and header of a model; they do not depend on where its kernels are in the published file."""
    rows = [[layer.name, layer.n_kernels, layer.depth, layer.depth_norm] for layer in layers]
    text = json.dumps({"dtype": dtype, "layers": rows}, separators=(",", ":")).encode()
    return MAGIC + len(text).to_bytes(LENGTH_BYTES, "little") + text


class ModelFile:
    """Header and kernels of one model as a file; equal models give equal bytes."""

    def __init__(self, hdf5: Hdf5, layers: Sequence[PublishedLayer], name: str) -> None:
        self._hdf5 = hdf5
        self._kernels = kernels = StoredKernels(hdf5)
        self._header = build_header(kernels.dtype, layers)
        self._layers = layers
        # Offsets of the layers in this file, and the end of the last one.
        sizes = (layer.n_kernels * kernels.row_bytes for layer in layers)
        self._starts = list(accumulate(sizes, initial=len(self._header)))
        self.name = name
        self.size = self._starts[-1]

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; raises CheckpointError."""
        check_range(self, offset, length)
        stop = offset + length
        pieces = [self._header[offset:stop]]
        pieces += [self._kernels.read(first, last - first) for first, last in self._source_ranges(offset, stop)]
        return b"".join(pieces)

    def source_spans(self, start: int, stop: int) -> Iterable[Span]:
        """Yield the ranges of the published file with these bytes."""
        if self._kernels.is_contiguous:
            yield from (Span(self._kernels, first, last) for first, last in self._source_ranges(start, stop))

    def _source_ranges(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the (start, stop) bytes of the kernels in a range of this file, as offsets in `/filters`."""
        start = max(start, len(self._header))
        while start < stop:
            index = bisect_right(self._starts, start) - 1
            end = min(stop, self._starts[index + 1])
            first = self._layers[index].start * self._kernels.row_bytes + start - self._starts[index]
            yield first, first + end - start
            start = end

    def close(self) -> None:
        """Close the HDF5 file."""
        self._hdf5.close()
