"""HDF5 files for h5py by byte range; its errors become FormatError."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import clear_frames
from typing import Any, Final

from filtercrawl.api.errors import Cancelled, FiltercrawlError, FormatError
from filtercrawl.api.range_file import RandomAccessFile

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"


class RangeFileStream(io.RawIOBase):
    """A random access file as a stream for h5py.

    Attributes:
        error: The error of the last failed read, which the C library would lose.
    """

    def __init__(self, file: RandomAccessFile) -> None:
        self._file = file
        self._position = 0
        self.error: BaseException | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = max(0, min(len(buffer), self._file.size - self._position))
        try:
            data = self._file.read(self._position, length)
        except BaseException as error:
            self.error = error
            raise
        buffer[:length] = data
        self._position += length
        return length


@contextmanager
def translate_hdf5_errors(file: RandomAccessFile, stream: RangeFileStream) -> Iterator[None]:
    """Convert exceptions of h5py to FormatError; an error of the underlying file is raised instead if there is one."""
    try:
        yield
    except Exception as error:
        # Whoever keeps the error keeps its frames, and those of h5py hold objects that must not outlive the C library.
        clear_frames(error.__traceback__)
        if isinstance(error, FiltercrawlError | Cancelled):
            raise
        if stream.error is not None:
            raise stream.error from error
        detail = " ".join(str(error).split()) or type(error).__name__
        raise FormatError(f"{file.name}: invalid HDF5 ({detail})") from error
    finally:
        stream.error = None  # its frames hold the open file, and that holds the stream
