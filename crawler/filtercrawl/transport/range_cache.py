"""Cache of downloaded ranges, kept between runs, so that interrupted downloads resume."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import NetworkError
from filtercrawl.config.dataset_url import WORKING_FOLDERS
from filtercrawl.transport.cache_entry import CacheEntry, disk_error, in_use, remove_entry

logger = logging.getLogger(__name__)

# Entries are evicted down to this share of the limit, so that not every new chunk evicts one.
_EVICTION_TARGET: Final = 0.8
# The size of the cache is checked after this many new bytes.
_CHECK_INTERVAL_BYTES: Final = 64 * 1024 * 1024


class RangeCache:
    """A folder of cache entries, one for each file and version. Thread-safe, and safe between processes.

    At most half of the free space of the disk is used. Entries in use are never evicted.

    Attributes:
        folder: The folder of the entries.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int | None = None) -> None:
        """Open a cache.

        Args:
            folder: The folder of the entries; None for a temporary one that is deleted with this object.
            max_bytes: Size beyond which the least recently used entries are evicted; None for no limit.
        """
        self._lock = threading.Lock()
        if folder is None:
            temporary = tempfile.mkdtemp(prefix="filtercrawl-")
            weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)
            folder = Path(temporary)
        self.folder = folder
        self._max_bytes = max_bytes
        self._unchecked_bytes = _CHECK_INTERVAL_BYTES  # check at the first write what earlier runs left
        self._n_private = 0

    def entry(self, url: str, version: Mapping[str, str]) -> CacheEntry:
        """Open the entry of one version of the file at a URL.

        Args:
            url: The URL without a signature.
            version: What identifies the version, by name: a SHA-256, or an ETag and size.

        Raises:
            NetworkError: The folder cannot be written.
        """
        key = "\n".join([url, *(f"{name}: {value}" for name, value in sorted(version.items()))])
        return CacheEntry(self.folder / hashlib.sha256(key.encode()).hexdigest()[:32])

    def private(self) -> CacheEntry:
        """Open a new entry for a file whose version is unknown, so that no other run may use it."""
        with self._lock:
            self._n_private += 1
            number = self._n_private
        return CacheEntry(self.folder / f".{id(self):x}-{number}")

    def reserve(self, size: int, name: str) -> None:
        """Check that there is space for a download.

        Args:
            size: Bytes to download.
            name: The file, for the message.

        Raises:
            NetworkError: More than half of the free space would be used.
        """
        available = self._free_bytes() // 2
        if size > available:
            raise NetworkError(
                f"{name}: {size} bytes do not fit into {self.folder}, where {available} may be used; "
                "set cache under [sync] to a folder on a larger disk"
            )

    def added(self, n: int) -> None:
        """Count bytes that were written, and evict entries if the cache is too large."""
        with self._lock:
            self._unchecked_bytes += n
            if self._unchecked_bytes < _CHECK_INTERVAL_BYTES:
                return
            self._unchecked_bytes = 0
            self._evict()

    def _evict(self) -> None:
        sizes: dict[Path, int] = {}
        last_used: dict[Path, float] = {}
        try:
            for folder in self.folder.iterdir():
                if folder.is_dir() and folder.name != WORKING_FOLDERS:
                    sizes[folder] = sum(file.stat().st_size for file in folder.iterdir())
                    last_used[folder] = folder.stat().st_mtime
        except OSError:
            return  # another process is evicting
        used = sum(sizes.values())
        limit = min(self._max_bytes if self._max_bytes is not None else used, (self._free_bytes() + used) // 2)
        if used <= limit:
            return
        for folder in sorted(sizes, key=lambda entry: last_used[entry]):
            if used <= _EVICTION_TARGET * limit:
                return
            if not in_use(folder):
                logger.debug("evicting %d bytes from the cache: %s", sizes[folder], folder.name)
                remove_entry(folder)
                used -= sizes[folder]

    def _free_bytes(self) -> int:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return shutil.disk_usage(self.folder).free
        except OSError as error:
            raise disk_error(self.folder / "x", error) from error
