"""Zip archives of torch: `torch.save` since version 1.6, and `torch.jit.save`.

All entries are in one folder of any name: `data.pkl`, the storages `data/KEY`, and for TorchScript `code/` and
`constants.pkl` with its storages `constants/KEY` (`torch.serialization`, `caffe2/serialize/inline_container.h`).
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from filtercrawl.api.errors import CheckpointError, FormatError, UnsafeFileError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.objects import PickledStorage
from filtercrawl_plugins.formats.pickle.unpickle import unpickle
from filtercrawl_plugins.formats.zip import ZipArchive, read_directory
from filtercrawl_plugins.readers.torch.storage import LoadedObject, LocateStorage, StorageRegion, storage_region

PICKLE_NAME: Final = "data.pkl"
MAX_PICKLE_BYTES: Final = 256 << 20
# Bytes that contain the first local header.
HEAD_BYTES: Final = 512


def is_main_pickle(name: str) -> bool:
    """Return whether an entry is `FOLDER/data.pkl`."""
    return name.endswith("/" + PICKLE_NAME) and name.count("/") == 1


def archive_kind(file: RandomAccessFile) -> str | None:
    """Return `torch-zip` or `torchscript`, None for any other file.

    A damaged archive whose first entry is one of torch's is claimed too, so that reading it reports the damage.
    """
    head = file.read(0, min(HEAD_BYTES, file.size))
    if not head.startswith(b"PK\3\4"):
        return None
    try:
        names = read_directory(file).entries.keys()
    except CheckpointError:
        first = first_entry(head)
        return "torch-zip" if first.endswith("/" + PICKLE_NAME) or "/data/" in first else None
    roots = {name.removesuffix(PICKLE_NAME) for name in names if is_main_pickle(name)}
    if not roots:
        return None
    return "torchscript" if any(_is_script(name, roots) for name in names) else "torch-zip"


def _is_script(name: str, roots: Set[str]) -> bool:
    """Return whether an entry is code or a constant of TorchScript in one of the folders `roots`."""
    folder, slash, inner = name.partition("/")
    return inner.startswith(("code/", "constants.pkl")) and folder + slash in roots


def first_entry(head: bytes) -> str:
    """Return the name in the first local header of a zip archive."""
    return head[30 : 30 + int.from_bytes(head[26:28], "little")].decode("utf-8", "replace")


class TorchArchive:
    """A zip archive of torch.

    Attributes:
        archive: The zip archive.
        root: Name of the folder of all entries, with a trailing slash.
    """

    def __init__(self, file: RandomAccessFile, budget: Budget) -> None:
        """Open an archive within the budget of its checkpoint.

        Raises:
            CheckpointError: It is damaged, has no or several `data.pkl`, or its numbers are big-endian.
        """
        self.archive = ZipArchive(file, budget)
        roots = [name.removesuffix(PICKLE_NAME) for name in self.archive.entries if is_main_pickle(name)]
        if len(roots) != 1:
            raise FormatError(f"{file.name}: the archive has {len(roots)} entries {PICKLE_NAME}, expected one")
        self.root = roots[0]
        if self.has_entry("byteorder") and self.archive.read(self.root + "byteorder", 16) != b"little":
            raise UnsupportedError(f"{file.name}: its numbers are big-endian; save it on a little-endian machine")

    def has_entry(self, name: str) -> bool:
        """Return whether the folder contains an entry."""
        return self.root + name in self.archive.entries

    def load_pickle(self, name: str, folder: str) -> LoadedObject:
        """Read a pickle of the archive as data.

        Args:
            name: Name of the pickle in the folder of the archive.
            folder: Subfolder of its storages.
        """
        entry = self.archive.entries[self.root + name]
        if entry.size > MAX_PICKLE_BYTES:
            raise UnsafeFileError(
                f"{self.archive.file.name}: its {name} has {entry.size} bytes, at most {MAX_PICKLE_BYTES} are supported"
            )
        unpickled = unpickle(Cursor(self.archive.open(entry.name)), self.archive.budget)
        return LoadedObject(unpickled.value, self._storage_locator(folder))

    def _storage_locator(self, folder: str) -> LocateStorage:
        def locate(storage: PickledStorage) -> StorageRegion:
            file = self.archive.open(f"{self.root}{folder}/{storage.key}")
            expected = storage.numel * storage.itemsize
            if expected > file.size:
                raise FormatError(
                    f"{file.name}: storage {storage.key[:80]!r} has {file.size} bytes, expected {expected}"
                )
            return storage_region(file, 0, storage)

        return locate
