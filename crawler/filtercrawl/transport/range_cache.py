"""Where fetched bytes are kept, between runs too, so that what was interrupted goes on where it stopped."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import NetworkError
from filtercrawl.transport.cache_entry import CacheEntry, disk_error, in_use, remove_entry

# Room is made down to this share of the limit, so that it need not be made for every piece.
_EVICTION_TARGET: Final = 0.8
# Looked at after so many new bytes.
_STEP: Final = 64 * 1024 * 1024


class RangeCache:
    """A folder of `CacheEntry`, one a file and version. Thread-safe, and safe between processes.

    folder: None for one that goes with this object. limit: bytes; beyond it the folders that were used least lately
    are given up, but none that is in use. Never takes more than half of the disk's free space.
    """

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        self.lasting = folder is not None
        self._lock = threading.Lock()
        if folder is None:
            home = tempfile.mkdtemp(prefix="filtercrawl-")
            weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
            folder = Path(home)
        self.folder = folder
        self._limit = limit
        self._new = _STEP  # look at the first occasion what other runs left
        self._private = 0

    def entry(self, address: str, version: Mapping[str, str]) -> CacheEntry:
        """Open the bytes of one version of the file at an address; raises NetworkError where the disk refuses."""
        text = "\n".join([address, *(f"{name}: {value}" for name, value in sorted(version.items()))])
        return CacheEntry(self.folder / hashlib.sha256(text.encode()).hexdigest()[:32])

    def private(self) -> CacheEntry:
        """Open a folder for a file whose version nothing tells, so that no other run may take it up."""
        with self._lock:
            self._private += 1
            number = self._private
        return CacheEntry(self.folder / f".{id(self):x}-{number}")

    def reserve(self, size: int, name: str) -> None:
        """Raise NetworkError where so many bytes do not fit."""
        room = self._free() // 2
        if size > room:
            raise NetworkError(
                f"{name}: {size} bytes do not fit into {self.folder}, where {room} may be used; "
                "set cache under [sync] to a folder on a larger disk"
            )

    def added(self, number: int) -> None:
        """Note that bytes were written, and make room where the limit is passed."""
        with self._lock:
            self._new += number
            if self._new < _STEP:
                return
            self._new = 0
            self._evict()

    def _evict(self) -> None:
        sizes: dict[Path, int] = {}
        ages: dict[Path, float] = {}
        try:
            for folder in self.folder.iterdir():
                if folder.is_dir():
                    sizes[folder] = sum(file.stat().st_size for file in folder.iterdir())
                    ages[folder] = folder.stat().st_mtime
        except OSError:
            return  # another process is making room
        used = sum(sizes.values())
        limit = min(self._limit if self._limit is not None else used, (self._free() + used) // 2)
        if used <= limit:
            return
        for folder in sorted(sizes, key=lambda known: ages[known]):
            if used <= _EVICTION_TARGET * limit:
                return
            if not in_use(folder):
                remove_entry(folder)
                used -= sizes[folder]

    def _free(self) -> int:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return shutil.disk_usage(self.folder).free
        except OSError as error:
            raise disk_error(self.folder / "x", error) from error
