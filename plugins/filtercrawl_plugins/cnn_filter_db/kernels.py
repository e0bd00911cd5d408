"""The kernels of a published file as contiguous bytes: read directly from the file, or decoded by HDF5 if chunked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from filtercrawl.api.errors import FormatError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile, Span, check_range
from filtercrawl_plugins.cnn_filter_db.hdf5 import Hdf5
from filtercrawl_plugins.formats.hdf5 import translate_hdf5_errors

FILTERS_PATH: Final = "filters"
DTYPES: Final = {"<f8": "float64", "<f4": "float32", "<f2": "float16"}
# Bytes of an HDF5 chunk, which is decoded as a whole; published files have a few MB.
MAX_CHUNK_BYTES: Final = 67_108_864
# Bytes of rows that are requested from HDF5 at a time.
READ_BYTES: Final = 4_194_304


class StoredKernels:
    """The dataset `/filters`, [N, 3, 3] or [N, 9], as a file of N rows without a header.

    Attributes:
        name: Name for messages.
        dtype: Name of the torch dtype.
        count: Number of kernels, N.
        row_bytes: Bytes of a kernel.
        size: Bytes of all kernels.
    """

    def __init__(self, hdf5: Hdf5) -> None:
        """Open the dataset of a file; raises CheckpointError if it has no kernels that can be read."""
        self._hdf5 = hdf5
        self.name = f"{hdf5.file.name}: /{FILTERS_PATH}"
        self._data = hdf5.dataset(FILTERS_PATH)
        with translate_hdf5_errors(hdf5.file, hdf5.stream):
            shape: tuple[int, ...] = tuple(self._data.shape or ())
            dtype, chunks = self._data.dtype.str, self._data.chunks
            if (len(shape), math.prod(shape[1:])) not in ((3, 9), (2, 9)) or (len(shape) == 3 and shape[1] != 3):
                raise FormatError(f"{self.name} has the shape {list(shape)}, not [N, 3, 3]")
            if dtype not in DTYPES:
                raise UnsupportedError(f"{self.name} has the dtype {dtype}; supported are float64, float32 and float16")
            self.dtype, self.count = DTYPES[dtype], int(shape[0])
            self.row_bytes = 9 * self._data.dtype.itemsize
            self.size = self.count * self.row_bytes
            self._offset = None if chunks else self._data.id.get_offset()
            if chunks and math.prod(chunks) * self._data.dtype.itemsize > MAX_CHUNK_BYTES:
                raise UnsupportedError(f"{self.name} has chunks of more than {MAX_CHUNK_BYTES} bytes")
        if not chunks and self.size:
            if self._offset is None:
                raise FormatError(f"{self.name} was never written")
            check_range(hdf5.file, self._offset, self.size)

    @property
    def is_contiguous(self) -> bool:
        """Whether the rows are stored in the file as they are, not in chunks."""
        return self._offset is not None

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; raises CheckpointError."""
        check_range(self, offset, length)
        if self._offset is not None:
            return self._hdf5.file.read(self._offset + offset, length)
        pieces, stop = [], offset + length
        while offset < stop:
            first = offset // self.row_bytes
            last = min(-(-stop // self.row_bytes), first + max(1, READ_BYTES // self.row_bytes))
            with translate_hdf5_errors(self._hdf5.file, self._hdf5.stream):
                rows = self._data[first:last].tobytes()
            pieces.append(rows[offset - first * self.row_bytes : stop - first * self.row_bytes])
            offset += len(pieces[-1])
        return b"".join(pieces)

    def source_spans(self, start: int, stop: int) -> Iterable[Span]:
        """Return the range of the published file with these bytes; () if its chunks must be decoded."""
        file: RandomAccessFile = self._hdf5.file
        return () if self._offset is None else (Span(file, self._offset + start, self._offset + stop),)
