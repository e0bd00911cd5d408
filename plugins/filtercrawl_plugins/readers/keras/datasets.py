"""The arrays of an untrusted HDF5 file: where their numbers lie; links and other files are never followed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import LazyFile, RandomAccessFile, Span
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl_plugins.formats.budget import MAX_NAME_LENGTH, Budget
from filtercrawl_plugins.formats.hdf5 import RangeFileStream, translate_hdf5_errors

# Steps of a link, of an object that it leads to, and of a chunk of an array.
LINK_COST: Final = 8
OBJECT_COST: Final = 300
CHUNK_COST: Final = 8
MAX_DEPTH: Final = 64
# Chunks of an array that are announced before they are read.
MAX_CHUNK_SPANS: Final = 1024
MAX_TEXT_BYTES: Final = 64 << 20
# The bytes that a filter may expand one byte to (deflate), and what a chunked dataset may have in memory.
MAX_RATIO: Final = 1032
MAX_DECODED_BYTES: Final = 1 << 30
# Filters that are part of HDF5 and h5py: deflate, shuffle, Fletcher-32, LZF. Others would load a library.
KNOWN_FILTERS: Final = frozenset({1, 2, 3, 32000})
# torch dtypes by NumPy's type string; big-endian numbers are not readable.
DTYPES: Final = {
    "<f8": "float64", "<f4": "float32", "<f2": "float16", "<i8": "int64", "<i4": "int32", "<i2": "int16",
    "<u8": "uint64", "<u4": "uint32", "<u2": "uint16", "|i1": "int8", "|u1": "uint8", "|b1": "bool",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StoredDataset:
    """An array of an HDF5 file.

    Attributes:
        path: Path in the file, without a leading slash.
        shape: Sizes.
        dtype: Name of the torch dtype, or NumPy's type string where torch has none.
        location: Where the numbers are; None where they cannot be read.
        group_name: Attribute `name` of the group that holds it, None if it has none.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    location: TensorLocation | None
    group_name: str | None


class Hdf5Arrays:
    """An open HDF5 file."""

    def __init__(self, file: RandomAccessFile, budget: Budget | None = None) -> None:
        """Open a file within the budget of its checkpoint; raises CheckpointError if it is not valid HDF5."""
        import h5py

        self.file = file
        self._budget = Budget(file) if budget is None else budget
        self._h5py = h5py
        self._stream = RangeFileStream(file)
        with translate_hdf5_errors(file, self._stream):
            self._root = h5py.File(self._stream, "r")

    def has(self, path: str) -> bool:
        """Return whether a group or dataset exists at a path of one or more components."""
        return self._node(path) is not None

    def has_attribute(self, path: str, name: str) -> bool:
        """Return whether the group at a path has an attribute."""
        node = self._node(path)
        with translate_hdf5_errors(self.file, self._stream):
            return node is not None and name in node.attrs

    def text(self, path: str, name: str) -> str | None:
        """Return an attribute that is text, None if there is none; raises FormatError if it is too long."""
        node = self._node(path)
        with translate_hdf5_errors(self.file, self._stream):
            return None if node is None else self._text(node, name)

    def _text(self, node: Any, name: str) -> str | None:
        """Return an attribute that is one text, None if there is none."""
        if name not in node.attrs:
            return None
        attribute = node.attrs.get_id(name)
        if attribute.get_space().get_simple_extent_type() != self._h5py.h5s.SCALAR:
            return None  # all of its texts could be the same long one
        if (size := attribute.get_storage_size()) > MAX_TEXT_BYTES:
            raise UnsafeFileError(f"{self.file.name}: the attribute {name!r} has {size} bytes")
        value = node.attrs[name]
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value if isinstance(value, str) else None

    def arrays(self) -> Iterator[StoredDataset]:
        """Yield every array, groups in the order of their names.

        Raises:
            UnsafeFileError: The file has more objects, levels or names than its size allows.
        """
        low, budget = self._h5py, self._budget
        known: dict[int, StoredDataset | None] = {}  # by address; None for a group
        stack: list[tuple[str, Any]] = [("", self._root)]
        while stack:
            path, group = stack.pop()
            children: list[tuple[str, Any]] = []
            with translate_hdf5_errors(self.file, self._stream):
                named = self._text(group, "name")
                for name, address in self._hard_links(group):
                    key = name.decode("utf-8", "surrogateescape")
                    child_path = f"{path}/{key}" if path else key
                    if child_path.count("/") > MAX_DEPTH or len(child_path) > MAX_NAME_LENGTH:
                        raise UnsafeFileError(f"{self.file.name}: has deeper or longer paths than any checkpoint needs")
                    if address not in known:
                        budget.spend(OBJECT_COST)
                        known[address] = None
                        child = low.h5o.open(group.id, name)
                        if isinstance(child, low.h5d.DatasetID):
                            known[address] = self._stored(low.Dataset(child), child_path)
                        elif isinstance(child, low.h5g.GroupID):
                            children.append((child_path, low.Group(child)))
                    if (stored := known[address]) is not None:
                        budget.add_tensor(len(child_path))
                        yield replace(stored, path=child_path, group_name=named)
            stack.extend(reversed(children))

    def _hard_links(self, group: Any) -> list[tuple[bytes, int]]:
        """Return names and addresses of the objects in a group, sorted by name."""
        found: list[tuple[bytes, int]] = []
        refused: list[UnsafeFileError] = []

        def note(name: bytes, link: Any) -> bool:
            if link.type == self._h5py.h5l.TYPE_HARD:
                found.append((name, link.u))
            try:
                self._budget.spend(LINK_COST + len(name) // 16)
            except UnsafeFileError as error:  # the library would lose it
                refused.append(error)
            return bool(refused)

        group.id.links.iterate(note, info=True)
        if refused:
            raise refused[0]
        return found

    def _node(self, path: str) -> Any | None:
        """Return the object at a path of hard links, None if there is none; "" is the root."""
        node: Any = self._root
        with translate_hdf5_errors(self.file, self._stream):
            for part in path.split("/") if path else ():
                if not isinstance(node, self._h5py.Group) or part not in node.keys():  # noqa: SIM118 - `in` follows links
                    return None
                if not isinstance(node.get(part, getlink=True), self._h5py.HardLink):
                    return None
                node = node[part]
        return node

    def _stored(self, dataset: Any, path: str) -> StoredDataset:
        shape = tuple(int(size) for size in dataset.shape or ())
        stored = self._type_name(dataset)
        dtype = DTYPES.get(stored)
        if dtype == "uint16" and dataset.attrs.get("dtype") == "bfloat16":
            dtype = "bfloat16"  # Keras 3
        elsewhere = dataset.is_virtual or dataset.external or dataset.shape is None
        location = None if dtype is None or elsewhere else self._locate(dataset, path, shape, dtype)
        return StoredDataset(path=path, shape=shape, dtype=dtype or stored[:40], location=location, group_name=None)

    def _type_name(self, dataset: Any) -> str:
        """Return NumPy's type string of numbers, or the class of another type, which may have any number of parts."""
        low = self._h5py.h5t
        kind = dataset.id.get_type()
        if isinstance(kind, low.TypeIntegerID | low.TypeFloatID):
            return str(dataset.dtype.str)
        if isinstance(kind, low.TypeEnumID) and kind.get_nmembers() <= 2:  # booleans
            return str(dataset.dtype.str)
        return type(kind).__name__.removeprefix("Type").removesuffix("ID").lower()

    def _locate(self, dataset: Any, path: str, shape: tuple[int, ...], dtype: str) -> TensorLocation | None:
        size = math.prod(shape) * ITEMSIZE[dtype]
        properties = dataset.id.get_create_plist()
        filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
        offset, stored = dataset.id.get_offset(), dataset.id.get_storage_size()
        if offset is not None and not filters:
            if stored != size:
                raise FormatError(f"{self.file.name}: {path!r} has {stored} bytes, which do not fit {list(shape)}")
            return TensorLocation(file=self.file, offset=offset, dtype=dtype, shape=shape)
        if not KNOWN_FILTERS.issuperset(filters) or size > MAX_DECODED_BYTES:
            return None
        if size > MAX_RATIO * stored + MAX_RATIO:
            raise UnsafeFileError(f"{self.file.name}: {path!r} claims {size} bytes, of which {stored} are stored")
        lazy = LazyFile(size, lambda: self._decode(dataset), self.file.name, self._chunk_spans(dataset, stored))
        return TensorLocation(file=lazy, offset=0, dtype=dtype, shape=shape)

    def _decode(self, dataset: Any) -> bytes:
        with translate_hdf5_errors(self.file, self._stream):
            return bytes(dataset[()].tobytes())

    def _chunk_spans(self, dataset: Any, stored: int) -> list[Span]:
        """Return the bytes of the chunks, without those of an index that is too long to be announced."""
        if dataset.chunks is None or not stored:
            return []
        found: list[Span] = []

        def note(chunk: Any) -> bool:
            if chunk.byte_offset is not None and chunk.byte_offset + chunk.size <= self.file.size:
                found.append(Span(self.file, chunk.byte_offset, chunk.byte_offset + chunk.size))
            return len(found) > MAX_CHUNK_SPANS

        dataset.id.chunk_iter(note)
        self._budget.spend(CHUNK_COST * len(found))
        return found if len(found) <= MAX_CHUNK_SPANS else []
