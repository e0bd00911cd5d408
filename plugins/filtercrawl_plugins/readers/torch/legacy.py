"""The format of `torch.save` before version 1.6: five pickles followed by the storages.

The pickles are magic number, protocol version, system information, the object, and the keys of its storages. Each
storage is an int64 with its number of elements and then the elements (`torch.serialization._legacy_load`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from filtercrawl.api.errors import CheckpointError, FormatError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile, Span, check_range
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.objects import PickledDict, PickledStorage, to_name
from filtercrawl_plugins.formats.pickle.unpickle import unpickle
from filtercrawl_plugins.readers.torch.storage import LoadedObject, StorageRegion, storage_region

# torch.serialization.MAGIC_NUMBER and PROTOCOL_VERSION.
MAGIC: Final = 0x1950A86A20F9469CFC6C
PROTOCOL: Final = 1001
# Bytes that contain the pickled magic number.
MAGIC_BYTES: Final = 64
# Bytes of the number of elements before each storage.
COUNT_BYTES: Final = 8
# Members of the tar archives that torch wrote before version 0.2.
TAR_MEMBERS: Final = (b"sys_info", b"pickle", b"tensors", b"storages")


def is_legacy(file: RandomAccessFile) -> bool:
    """Return whether a file starts with the magic number of torch, pickled with any protocol."""
    head = file.read(0, min(MAGIC_BYTES, file.size))
    if head[:1] not in (b"\x80", b"L"):
        return False
    try:
        return unpickle(Cursor(file, 0, len(head)), Budget(file)).value == MAGIC
    except CheckpointError:
        return False


def is_tar(file: RandomAccessFile) -> bool:
    """Return whether a file is a tar archive of torch before 0.2."""
    head = file.read(0, min(512, file.size))
    return head[257:262] == b"ustar" and head[:100].rstrip(b"\0").removeprefix(b"./") in TAR_MEMBERS


def load_legacy(file: RandomAccessFile, budget: Budget) -> LoadedObject:
    """Read the pickles of a legacy file within the budget of its checkpoint.

    Raises:
        FormatError: A pickle or the list of storages is invalid.
        UnsupportedError: A tar archive, another protocol, or big-endian numbers.
    """
    if is_tar(file):
        raise UnsupportedError(
            f"{file.name}: a tar archive written by torch before 0.2; load and save it with a newer torch"
        )
    cursor = Cursor(file)
    magic, protocol, system = (unpickle(cursor, budget).value for _ in range(3))
    if magic != MAGIC or protocol != PROTOCOL:
        raise UnsupportedError(
            f"{file.name}: unknown version of the legacy torch format; load and save it with a current torch"
        )
    if isinstance(system, PickledDict) and system.named().get("little_endian") is False:
        raise UnsupportedError(f"{file.name}: its numbers are big-endian; save it on a little-endian machine")
    content = unpickle(cursor, budget)
    keys = unpickle(cursor, budget).value
    storage_files = list_storages(cursor, keys, content.storages)

    def locate(storage: PickledStorage) -> StorageRegion:
        first = content.storages[storage.key]
        if storage.key not in storage_files or storage.numel * storage.itemsize > first.numel * first.itemsize:
            raise FormatError(
                f"{file.name}: it refers to the storage {storage.key[:80]!r}, which it does not contain; fetch it again"
            )
        return storage_region(storage_files[storage.key], 0, storage)

    return LoadedObject(content.value, locate)


class LengthPrefixedStorage:
    """The elements of a storage as a file; the first read checks the number of elements that precedes them."""

    def __init__(self, file: RandomAccessFile, offset: int, storage: PickledStorage) -> None:
        """Describe the storage whose element count is at `offset` of a file."""
        self.name = file.name
        self.size = storage.numel * storage.itemsize
        self._file = file
        self._offset = offset
        self._storage = storage
        self._checked = False
        check_range(file, offset, COUNT_BYTES + self.size)

    @property
    def end(self) -> int:
        """Offset of the next storage."""
        return self._offset + COUNT_BYTES + self.size

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes of elements from `offset`; raises FormatError if the count is wrong."""
        check_range(self, offset, length)
        if not self._checked:
            self._check()
        return self._file.read(self._offset + COUNT_BYTES + offset, length)

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        """Yield the range of the elements, and of their count as long as it is unchecked."""
        if start >= stop:
            return
        if not self._checked:
            yield Span(self._file, self._offset, self._offset + COUNT_BYTES)
        yield Span(self._file, self._offset + COUNT_BYTES + start, self._offset + COUNT_BYTES + stop)

    def _check(self) -> None:
        numel = int.from_bytes(self._file.read(self._offset, COUNT_BYTES), "little")
        if numel != self._storage.numel:
            raise FormatError(
                f"{self.name}: the storage {self._storage.key[:80]!r} has {numel} numbers, "
                f"its tensors say {self._storage.numel}"
            )
        self._checked = True


def list_storages(
    cursor: Cursor, keys: object, storages: dict[str, PickledStorage]
) -> dict[str, LengthPrefixedStorage]:
    """Return the storages after the pickles, by key. Offsets follow from the sizes in the pickle; nothing is read.

    Args:
        cursor: Position after the last pickle.
        keys: The last pickle: a list of keys in the order of the file.
        storages: The storages that tensors refer to.

    Raises:
        FormatError: A key is not among the storages or occurs twice, or a storage exceeds the file.
    """
    file = cursor.file
    if not isinstance(keys, list):
        raise FormatError(f"{file.name}: the list of its storages is missing; fetch it again")
    located: dict[str, LengthPrefixedStorage] = {}
    position = cursor.position
    for key in keys:
        name = to_name(key)
        storage = storages.get(name) if name is not None else None
        if storage is None or name is None or name in located:
            raise FormatError(f"{file.name}: its list of storages has a duplicate, or a key that no tensor uses")
        located[name] = LengthPrefixedStorage(file, position, storage)
        position = located[name].end
    return located
