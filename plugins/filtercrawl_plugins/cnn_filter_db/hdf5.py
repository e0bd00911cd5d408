"""HDF5 as data: nodes that lie in the file itself, read through a range file, errors in our words."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from filtercrawl.api.errors import Cancelled, FiltercrawlError, FormatError, UnsafeFileError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
# Bytes of one node of the table at most; the published one has 22 MB in all.
NODE: Final = 536_870_912


def import_h5py() -> ModuleType:
    """Return h5py; raises UnsupportedError where it is not installed."""
    try:
        import h5py
    except ImportError as error:
        message = "files of CNN Filter DB need h5py: pip install 'filtercrawl[cnn-filter-db]'"
        raise UnsupportedError(message) from error
    module: ModuleType = h5py
    return module


class RangeFileStream(io.RawIOBase):
    """A range file as a stream; keeps the error that a C library in between would lose."""

    def __init__(self, file: RandomAccessFile) -> None:
        self._file = file
        self._at = 0
        self.error: BaseException | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = max(0, min(len(buffer), self._file.size - self._at))
        try:
            data = self._file.read(self._at, length)
        except BaseException as error:
            self.error = error
            raise
        buffer[:length] = data
        self._at += length
        return length


@contextmanager
def translate_hdf5_errors(file: RandomAccessFile, stream: RangeFileStream) -> Iterator[None]:
    """Turn whatever h5py raises into FormatError; an error of the file below counts first."""
    try:
        yield
    except (FiltercrawlError, Cancelled):
        raise
    except Exception as error:
        if stream.error is not None:
            raise stream.error from error
        detail = " ".join(str(error).split()) or type(error).__name__
        raise FormatError(f"{file.name}: HDF5 that cannot be read ({detail})") from error


class Hdf5:
    """An open HDF5 file; every node is looked up in it by a hard link, never in another file. Close it."""

    def __init__(self, file: RandomAccessFile) -> None:
        h5py = import_h5py()
        self.file = file
        self.stream = RangeFileStream(file)
        with translate_hdf5_errors(file, self.stream):
            self._root = h5py.File(self.stream, "r")
        self._h5py = h5py

    def node(self, path: str) -> Any | None:
        """Return a group or dataset by its path, None where there is none; raises UnsafeError if it lies elsewhere."""
        here = self._root
        with translate_hdf5_errors(self.file, self.stream):
            for part in path.strip("/").split("/"):
                if not isinstance(here, self._h5py.Group) or part not in here.keys():  # noqa: SIM118 - `in` follows links
                    return None
                if not isinstance(here.get(part, getlink=True), self._h5py.HardLink):
                    raise UnsafeFileError(f"{self.file.name}: {path!r} is a link; links are never followed")
                here = here[part]
            if isinstance(here, self._h5py.Dataset) and (here.is_virtual or here.external):
                raise UnsafeFileError(f"{self.file.name}: {path!r} lies in another file, which is never read")
        return here

    def dataset(self, path: str) -> Any:
        """Return a dataset; raises FormatError where there is none."""
        found = self.node(path)
        if not isinstance(found, self._h5py.Dataset):
            raise FormatError(f"{self.file.name}: holds no dataset {path!r}")
        return found

    def is_dataset(self, node: object) -> bool:
        return isinstance(node, self._h5py.Dataset)

    def array(self, path: str) -> Any:
        """Return a whole dataset as a NumPy array; raises FormatError where it is too large to be a table's."""
        found = self.dataset(path)
        with translate_hdf5_errors(self.file, self.stream):
            if math.prod(found.shape or ()) * found.dtype.itemsize > NODE:
                raise FormatError(f"{self.file.name}: {path!r} claims {math.prod(found.shape)} elements")
            return found[()]

    def pickled(self, path: str) -> bytes:
        """Return the bytes of the one object that PyTables keeps in an array of objects."""
        found = self.dataset(path)
        with translate_hdf5_errors(self.file, self.stream):
            if found.shape != (1,) or self._h5py.check_vlen_dtype(found.dtype) is None:
                raise FormatError(f"{self.file.name}: {path!r} is no pickled object")
            value = found[0]
            return bytes(value) if value.dtype.kind in "iu" and value.dtype.itemsize == 1 else b""

    def is_pickled(self, path: str) -> bool:
        found = self.dataset(path)
        with translate_hdf5_errors(self.file, self.stream):
            return self._h5py.check_vlen_dtype(found.dtype) is not None

    def is_empty(self, node: Any) -> bool:
        """Tell whether pandas wrote an array that has no elements: it keeps the shape beside it."""
        with translate_hdf5_errors(self.file, self.stream):
            return "shape" in node.attrs

    def attribute(self, node: Any, name: str) -> Any:
        """Return an attribute as int, bytes or str; None where it is none of these."""
        with translate_hdf5_errors(self.file, self.stream):
            if name not in node.attrs:
                return None
            value = node.attrs[name]
        value = value.item() if hasattr(value, "item") and getattr(value, "size", 0) == 1 else value
        return value if isinstance(value, int | bytes | str) else None

    def text(self, node: Any, name: str) -> str | None:
        """Return an attribute that is text; PyTables pickles None as `N.`."""
        value = self.attribute(node, name)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        return value if isinstance(value, str) and value != "N." else None

    def close(self) -> None:
        with translate_hdf5_errors(self.file, self.stream):
            self._root.close()
