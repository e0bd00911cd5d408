"""HDF5 files read by byte range: links and external data are refused, errors of h5py become FormatError."""

from __future__ import annotations

import math
from typing import Any, Final

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.hdf5 import RangeFileStream, translate_hdf5_errors

# Bytes of one dataset of the table; the published table has 22 MB in all.
MAX_DATASET_BYTES: Final = 536_870_912


class Hdf5:
    """An open HDF5 file whose nodes are dataset by hard links only, never in another file. Close it after use."""

    def __init__(self, file: RandomAccessFile) -> None:
        """Open a file.

        Raises:
            FormatError: It is not a valid HDF5 file.
        """
        import h5py  # every command imports the plugins

        self.file = file
        self.stream = RangeFileStream(file)
        with translate_hdf5_errors(file, self.stream):
            self._root = h5py.File(self.stream, "r")
        self._h5py = h5py

    def node(self, path: str) -> Any | None:
        """Return the group or dataset at a path, None if there is none.

        Raises:
            UnsafeFileError: The path contains a link, or the data are in another file.
        """
        node = self._root
        with translate_hdf5_errors(self.file, self.stream):
            for part in path.strip("/").split("/"):
                if not isinstance(node, self._h5py.Group) or part not in node.keys():  # noqa: SIM118 - `in` follows links
                    return None
                if not isinstance(node.get(part, getlink=True), self._h5py.HardLink):
                    raise UnsafeFileError(f"{self.file.name}: {path!r} is a link; links are never followed")
                node = node[part]
            if isinstance(node, self._h5py.Dataset) and (node.is_virtual or node.external):
                raise UnsafeFileError(f"{self.file.name}: {path!r} lies in another file, which is never read")
        return node

    def dataset(self, path: str) -> Any:
        """Return the dataset at a path; raises FormatError if there is none."""
        dataset = self.node(path)
        if not isinstance(dataset, self._h5py.Dataset):
            raise FormatError(f"{self.file.name}: has no dataset {path!r}")
        return dataset

    def is_dataset(self, node: object) -> bool:
        """Return whether a node is a dataset."""
        return isinstance(node, self._h5py.Dataset)

    def array(self, path: str) -> Any:
        """Return a whole dataset as a NumPy array; raises FormatError if it is larger than a table may be."""
        dataset = self.dataset(path)
        with translate_hdf5_errors(self.file, self.stream):
            if math.prod(dataset.shape or ()) * dataset.dtype.itemsize > MAX_DATASET_BYTES:
                raise FormatError(
                    f"{self.file.name}: {path!r} has {math.prod(dataset.shape)} elements, more than a table may have"
                )
            return dataset[()]

    def pickled(self, path: str) -> bytes:
        """Return the pickle that PyTables stores as the only element of a variable-length dataset."""
        dataset = self.dataset(path)
        with translate_hdf5_errors(self.file, self.stream):
            if dataset.shape != (1,) or self._h5py.check_vlen_dtype(dataset.dtype) is None:
                raise FormatError(f"{self.file.name}: {path!r} is not a pickled object")
            value = dataset[0]
            return bytes(value) if value.dtype.kind in "iu" and value.dtype.itemsize == 1 else b""

    def is_pickled(self, path: str) -> bool:
        """Return whether a dataset is a pickled object."""
        dataset = self.dataset(path)
        with translate_hdf5_errors(self.file, self.stream):
            return self._h5py.check_vlen_dtype(dataset.dtype) is not None

    def is_empty(self, node: Any) -> bool:
        """Return whether pandas wrote an empty array, for which it stores the shape as an attribute."""
        with translate_hdf5_errors(self.file, self.stream):
            return "shape" in node.attrs

    def attribute(self, node: Any, name: str) -> Any:
        """Return an attribute that is an int, bytes or str; None if it is missing or of another type."""
        with translate_hdf5_errors(self.file, self.stream):
            if name not in node.attrs:
                return None
            value = node.attrs[name]
        value = value.item() if hasattr(value, "item") and getattr(value, "size", 0) == 1 else value
        return value if isinstance(value, int | bytes | str) else None

    def text(self, node: Any, name: str) -> str | None:
        """Return an attribute that is text; None if it is missing or None, which PyTables pickles as `N.`."""
        value = self.attribute(node, name)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        return value if isinstance(value, str) and value != "N." else None

    def close(self) -> None:
        """Close the HDF5 file, not the underlying one."""
        with translate_hdf5_errors(self.file, self.stream):
            self._root.close()
