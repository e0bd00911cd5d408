"""Takes apart the archives of torch: a pickle and its storages in one folder, with code for TorchScript."""

from __future__ import annotations

from typing import Final

from filtercrawl.api.errors import CheckpointError, FormatError, UnsafeFileError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.objects import PickledStorage
from filtercrawl_plugins.formats.pickle.unpickle import unpickle
from filtercrawl_plugins.formats.zip.archive import ZipArchive
from filtercrawl_plugins.readers.torch.storage import LoadedObject, LocateStorage, StorageRegion, storage_region

PICKLE_NAME: Final = "data.pkl"
PICKLE_BYTES: Final = 256 << 20
HEAD: Final = 512


def is_pickle(name: str) -> bool:
    return name.endswith("/" + PICKLE_NAME) and name.count("/") == 1


def archive_kind(file: RandomAccessFile) -> str | None:
    """Tell `torch-zip` from `torchscript`; None for any other file.

    A broken archive whose first entry is one of torch's is taken for one: its error then says what is wrong.
    """
    head = file.read(0, min(HEAD, file.size))
    if not head.startswith(b"PK\3\4"):
        return None
    try:
        names = ZipArchive(file).entries.keys()
    except CheckpointError:
        first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return "torch-zip" if first.endswith(b"/data.pkl") or b"/data/" in first else None
    roots = [name.removesuffix(PICKLE_NAME) for name in names if is_pickle(name)]
    if not roots:
        return None
    scripts = tuple(root + part for root in roots for part in ("code/", "constants.pkl"))
    return "torchscript" if any(name.startswith(scripts) for name in names) else "torch-zip"


class TorchArchive:
    """An archive by what its entries mean; all lie in one folder, `root`, that may have any name."""

    def __init__(self, file: RandomAccessFile) -> None:
        self.archive = ZipArchive(file)
        roots = [name.removesuffix(PICKLE_NAME) for name in self.archive.entries if is_pickle(name)]
        if len(roots) != 1:
            raise FormatError(f"{file.name}: the archive has {len(roots)} entries {PICKLE_NAME}, a checkpoint has one")
        self.root = roots[0]
        if self.has_entry("byteorder") and self.archive.read(self.root + "byteorder", 16) != b"little":
            raise UnsupportedError(f"{file.name}: its numbers are big-endian; save it on a little-endian machine")

    def has_entry(self, name: str) -> bool:
        return self.root + name in self.archive.entries

    def load_pickle(self, pickle: str, folder: str) -> LoadedObject:
        """Read one of the pickles as data; its storages lie in `folder`."""
        entry = self.archive.entries[self.root + pickle]
        if entry.size > PICKLE_BYTES:
            raise UnsafeFileError(
                f"{self.archive.file.name}: its {pickle} claims {entry.size} bytes, {PICKLE_BYTES} at most"
            )
        return LoadedObject(unpickle(Cursor(self.archive.open(entry.name))).value, self._locate(folder))

    def _locate(self, folder: str) -> LocateStorage:
        def locate(storage: PickledStorage) -> StorageRegion:
            file = self.archive.open(f"{self.root}{folder}/{storage.key}")
            promised = storage.numel * storage.itemsize
            if promised > file.size:
                raise FormatError(
                    f"{file.name}: storage {storage.key[:80]!r} promises {promised} bytes and has {file.size}"
                )
            return storage_region(file, 0, storage)

        return locate
