"""Where the storages of a torch file lie: byte ranges, found by a function that each file format provides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filtercrawl_plugins.formats.pickle.objects import PickledStorage

if TYPE_CHECKING:
    from filtercrawl.api.range_file import RandomAccessFile


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRegion:
    """The bytes of a storage.

    Attributes:
        file: The file that contains them.
        offset: Offset of the first byte.
        size: Number of bytes.
        dtype: Name of the torch dtype of the elements.
    """

    file: RandomAccessFile
    offset: int
    size: int
    dtype: str


LocateStorage = Callable[[PickledStorage], StorageRegion]


@dataclass(frozen=True, slots=True)
class LoadedObject:
    """The unpickled object of a checkpoint, and the function that locates its storages."""

    value: object
    locate_storage: LocateStorage


def storage_region(file: RandomAccessFile, offset: int, storage: PickledStorage) -> StorageRegion:
    """Return the bytes of a storage, or of the part that it views.

    Args:
        file: The file that contains the storage.
        offset: Offset of the first element of the whole storage.
        storage: The storage.
    """
    start, count = storage.view or (0, storage.numel)
    itemsize = storage.itemsize
    return StorageRegion(file=file, offset=offset + start * itemsize, size=count * itemsize, dtype=storage.dtype)
