"""Takes apart what `torch.save` wrote until 2020: a stream of five pickles, and behind it the storages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from filtercrawl.api.errors import CheckpointError, FormatError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile, Span, check_range
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.objects import PickledDict, PickledStorage, to_name
from filtercrawl_plugins.formats.pickle.unpickle import unpickle
from filtercrawl_plugins.readers.torch.storage import LoadedObject, StorageRegion, storage_region

MAGIC: Final = 0x1950A86A20F9469CFC6C
PROTOCOL: Final = 1001
# What the three pickles of the header may cost; they hold a few numbers.
HEADER: Final = 65_536
HEAD: Final = 64
# How many numbers a storage has, before the numbers.
COUNT: Final = 8
# The archive that came before: a tar with these members.
TAR_MEMBERS: Final = (b"sys_info", b"pickle", b"tensors", b"storages")


def is_legacy(file: RandomAccessFile) -> bool:
    """Tell whether a file starts with torch's magic number, pickled under any protocol."""
    head = file.read(0, min(HEAD, file.size))
    if head[:1] not in (b"\x80", b"L"):
        return False
    try:
        return unpickle(Cursor(file, 0, len(head)), HEADER).value == MAGIC
    except CheckpointError:
        return False


def is_tar(file: RandomAccessFile) -> bool:
    """Tell whether a file is of the format before, which torch wrote until 2016."""
    head = file.read(0, min(512, file.size))
    return head[257:262] == b"ustar" and head[:100].rstrip(b"\0").removeprefix(b"./") in TAR_MEMBERS


def load_legacy(file: RandomAccessFile) -> LoadedObject:
    """Read the pickles of a legacy file; raises FormatError where a storage is not where it should be."""
    if is_tar(file):
        raise UnsupportedError(f"{file.name}: a tar archive of torch before 0.2; load and save it with a newer torch")
    cursor = Cursor(file)
    magic, protocol, system = (unpickle(cursor, HEADER).value for _ in range(3))
    if magic != MAGIC or protocol != PROTOCOL:
        raise UnsupportedError(f"{file.name}: a torch file of a protocol that is not known here")
    if isinstance(system, PickledDict) and dict(system.items()).get("little_endian") is False:
        raise UnsupportedError(f"{file.name}: its numbers are big-endian; save it on a little-endian machine")
    content = unpickle(cursor)
    keys = unpickle(cursor).value
    places = storage_offsets(cursor, keys, content.storages)

    def locate(storage: PickledStorage) -> StorageRegion:
        first = content.storages[storage.key]
        if storage.key not in places or storage.numel * storage.itemsize > first.numel * first.itemsize:
            raise FormatError(f"{file.name}: it promises the storage {storage.key[:80]!r} and does not hold it")
        return storage_region(places[storage.key], 0, storage)

    return LoadedObject(content.value, locate)


class LengthPrefixedStorage:
    """The numbers of a storage behind their count, which is held against the pickle's word at the first read."""

    def __init__(self, file: RandomAccessFile, offset: int, storage: PickledStorage) -> None:
        self.name = file.name
        self.size = storage.numel * storage.itemsize
        self._file = file
        self._offset = offset
        self._storage = storage
        self._checked = False
        check_range(file, offset, COUNT + self.size)

    @property
    def end(self) -> int:
        """Where the next storage lies in the file."""
        return self._offset + COUNT + self.size

    def read(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        if not self._checked:
            self._check()
        return self._file.read(self._offset + COUNT + offset, length)

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        """Yield where numbers lie, and their count as long as it is unread."""
        if start >= stop:
            return
        if not self._checked:
            yield Span(self._file, self._offset, self._offset + COUNT)
        yield Span(self._file, self._offset + COUNT + start, self._offset + COUNT + stop)

    def _check(self) -> None:
        numel = int.from_bytes(self._file.read(self._offset, COUNT), "little")
        if numel != self._storage.numel:
            raise FormatError(
                f"{self.name}: the storage {self._storage.key[:80]!r} has {numel} numbers, "
                f"its tensors say {self._storage.numel}"
            )
        self._checked = True


def storage_offsets(
    cursor: Cursor, keys: object, storages: dict[str, PickledStorage]
) -> dict[str, LengthPrefixedStorage]:
    """Return the numbers of each storage; where they lie follows from what the pickle says, and nothing is read."""
    file = cursor.file
    if not isinstance(keys, list):
        raise FormatError(f"{file.name}: it has no list of storages")
    places: dict[str, LengthPrefixedStorage] = {}
    position = cursor.position
    for key in keys:
        name = to_name(key)
        storage = storages.get(name) if name is not None else None
        if storage is None or name is None or name in places:
            raise FormatError(f"{file.name}: its list of storages names one that no tensor has, or one twice")
        places[name] = LengthPrefixedStorage(file, position, storage)
        position = places[name].end
    return places
