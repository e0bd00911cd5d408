"""Takes apart what `torch.save` wrote until 2020: a stream of five pickles, and behind it the storages."""

from __future__ import annotations

from typing import Final

from filtercrawl.errors import CheckpointError, FormatError, UnsupportedError
from filtercrawl.ranges import RangeFile, check_range
from filtercrawl_plugins.torch.cursor import Cursor
from filtercrawl_plugins.torch.nodes import Pairs, Storage, text
from filtercrawl_plugins.torch.places import Loaded, Region, region
from filtercrawl_plugins.torch.unpickle import unpickle

MAGIC: Final = 0x1950A86A20F9469CFC6C
PROTOCOL: Final = 1001
# What the three pickles of the header may cost; they hold a few numbers.
HEADER: Final = 65_536
HEAD: Final = 64
# The archive that came before: a tar with these members.
TAR_MEMBERS: Final = (b"sys_info", b"pickle", b"tensors", b"storages")


def is_legacy(file: RangeFile) -> bool:
    """Tell whether a file starts with torch's magic number, pickled under any protocol."""
    head = file.read(0, min(HEAD, file.size))
    if head[:1] not in (b"\x80", b"L"):
        return False
    try:
        return unpickle(Cursor(file, 0, len(head)), HEADER).value == MAGIC
    except CheckpointError:
        return False


def is_tar(file: RangeFile) -> bool:
    """Tell whether a file is of the format before, which torch wrote until 2016."""
    head = file.read(0, min(512, file.size))
    return head[257:262] == b"ustar" and head[:100].rstrip(b"\0").removeprefix(b"./") in TAR_MEMBERS


def load_legacy(file: RangeFile) -> Loaded:
    """Read the pickles of a legacy file; raises FormatError where a storage is not where it should be."""
    if is_tar(file):
        raise UnsupportedError(f"{file.name}: a tar archive of torch before 0.2; load and save it with a newer torch")
    cursor = Cursor(file)
    magic, protocol, system = (unpickle(cursor, HEADER).value for _ in range(3))
    if magic != MAGIC or protocol != PROTOCOL:
        raise UnsupportedError(f"{file.name}: a torch file of a protocol that is not known here")
    if isinstance(system, Pairs) and dict(system.items()).get("little_endian") is False:
        raise UnsupportedError(f"{file.name}: its numbers are big-endian; save it on a little-endian machine")
    content = unpickle(cursor)
    keys = unpickle(cursor).value
    offsets = storage_offsets(cursor, keys, content.storages)

    def locate(storage: Storage) -> Region:
        first = content.storages[storage.key]
        if storage.key not in offsets or storage.numel * storage.itemsize > first.numel * first.itemsize:
            raise FormatError(f"{file.name}: it promises the storage {storage.key[:80]!r} and does not hold it")
        return region(file, offsets[storage.key], storage)

    return Loaded(content.value, locate)


def storage_offsets(cursor: Cursor, keys: object, storages: dict[str, Storage]) -> dict[str, int]:
    """Return where the numbers of each storage start; only their counts are read."""
    file = cursor.file
    if not isinstance(keys, list):
        raise FormatError(f"{file.name}: it has no list of storages")
    offsets: dict[str, int] = {}
    position = cursor.position
    for key in keys:
        name = text(key)
        storage = storages.get(name) if name is not None else None
        if storage is None or name is None or name in offsets:
            raise FormatError(f"{file.name}: its list of storages names one that no tensor has, or one twice")
        numel = int.from_bytes(file.read(position, 8), "little")
        if numel != storage.numel:
            raise FormatError(
                f"{file.name}: the storage {name[:80]!r} has {numel} numbers, its tensors say {storage.numel}"
            )
        offsets[name] = position + 8
        position += 8 + numel * storage.itemsize
        check_range(file, offsets[name], position - offsets[name])
    return offsets
