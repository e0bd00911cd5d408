"""Cached bytes of one version of a remote file: chunks on disk, each written once and as a whole."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import threading
import zlib
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import NetworkError
from filtercrawl.transport.range_planning import Range, normalize_ranges, subtract

# Name of a chunk: start, stop and the CRC-32 of its bytes.
_CHUNK_NAME: Final = re.compile(r"(\d{1,18})-(\d{1,18})-([0-9a-f]{8})")
_LOCK_FILE: Final = "lock"
_VERSION_FILE: Final = "version.json"
# Headers are read in thousands of small steps: this many chunks of up to this size are kept in memory.
_SMALL_CHUNK_BYTES: Final = 256 * 1024
_CHUNKS_IN_MEMORY: Final = 16


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """A file with the bytes from `start` to `stop`; `verified` once this process has written it or checked its CRC."""

    start: int
    stop: int
    path: Path
    verified: bool = True


class CacheEntry:
    """The bytes of one version of one file, in a folder of its own. Thread-safe, and safe between processes.

    A chunk appears under its name when it is complete, and its name has its CRC-32, which is checked when a chunk that
    another run left is first read. A lock on the folder tells other processes that it is in use, and
    only its owner may read it.

    Attributes:
        folder: The folder of the chunks.
    """

    def __init__(self, folder: Path) -> None:
        """Open the folder, or create it; raises NetworkError if the disk refuses."""
        self.folder = folder
        self._lock = threading.Lock()
        self._discarded = False
        self._chunks: list[_Chunk] = []  # sorted by start, without overlaps
        self._memory: OrderedDict[int, bytes] = OrderedDict()  # by start, the least recently used first
        self._lock_fd = -1
        try:
            make_private(folder)
            self._lock_fd = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock_fd, fcntl.LOCK_SH)
            os.utime(folder)  # entries are evicted in this order
            self._chunks = _list_chunks(folder)
        except OSError as error:
            raise disk_error(folder, error) from error

    @property
    def version(self) -> dict[str, str]:
        """The validators of the response that the first of these bytes came from; empty where there is none yet."""
        try:
            return dict(json.loads((self.folder / _VERSION_FILE).read_text("utf-8")))
        except (OSError, ValueError):
            return {}

    @version.setter
    def version(self, validators: Mapping[str, str]) -> None:
        self._write_file(_VERSION_FILE, json.dumps(dict(validators)).encode())

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The cached ranges: (start, stop) in bytes, sorted, neither overlapping nor adjacent."""
        with self._lock:
            return normalize_ranges((chunk.start, chunk.stop) for chunk in self._chunks)

    def missing(self, start: int, stop: int) -> tuple[Range, ...]:
        """Return the parts of a range that are not cached."""
        with self._lock:  # of thousands of chunks only those that may overlap the range
            first = max(bisect_right(self._chunks, start, key=lambda chunk: chunk.start) - 1, 0)
            last = bisect_left(self._chunks, stop, key=lambda chunk: chunk.start)
            cached = normalize_ranges((chunk.start, chunk.stop) for chunk in self._chunks[first:last])
        return subtract(normalize_ranges([(start, stop)]), cached)

    def add(self, start: int, data: bytes) -> None:
        """Store the bytes of the file from `start` on; bytes that are cached already stay as they are.

        Raises:
            NetworkError: They cannot be written.
        """
        if self._discarded:
            return  # late bytes of a version that is no longer wanted
        for first, last in self.missing(start, start + len(data)):
            part = data[first - start : last - start]
            path = self._write_file(f"{first}-{last}-{zlib.crc32(part):08x}", part)
            with self._lock:
                # A concurrent request may have stored some of these bytes; what is then missing is fetched again.
                inserted = self._insert(_Chunk(start=first, stop=last, path=path))
                if inserted and len(part) <= _SMALL_CHUNK_BYTES:
                    self._remember(first, part)
                if not inserted and all(chunk.path != path for chunk in self._chunks):
                    path.unlink(missing_ok=True)

    def read(self, start: int, stop: int) -> bytes | None:
        """Return the bytes from `start` to `stop`; None if some are missing, evicted or damaged."""
        parts = []
        while start < stop:
            with self._lock:
                index = bisect_right(self._chunks, start, key=lambda chunk: chunk.start) - 1
                chunk = self._chunks[index] if index >= 0 else None
            if chunk is None or chunk.stop <= start:
                return None
            part = self._read_chunk(chunk, start, min(stop, chunk.stop))
            if part is None:
                self._remove(chunk)
                return None
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def invalidate(self, start: int, stop: int) -> None:
        """Remove the chunks that start in [start, stop): their response turned out to be invalid."""
        with self._lock:
            chunks = [chunk for chunk in self._chunks if start <= chunk.start < stop]
        for chunk in chunks:
            self._remove(chunk)

    def discard(self) -> None:
        """Delete the entry, and store nothing more in it."""
        with self._lock:
            self._discarded = True
            self._chunks.clear()
            self._memory.clear()
        remove_entry(self.folder)

    def close(self) -> None:
        """Release the lock on the folder, so that it may be evicted."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def __del__(self) -> None:
        self.close()

    def _read_chunk(self, chunk: _Chunk, start: int, stop: int) -> bytes | None:
        with self._lock:
            data = self._memory.get(chunk.start)
            if data is not None:
                self._memory.move_to_end(chunk.start)
                return data[start - chunk.start : stop - chunk.start]
        try:
            if not chunk.verified and not self._verify(chunk):
                return None
            is_small = chunk.stop - chunk.start <= _SMALL_CHUNK_BYTES
            first, last = (chunk.start, chunk.stop) if is_small else (start, stop)
            with chunk.path.open("rb") as file:
                file.seek(first - chunk.start)
                data = file.read(last - first)
        except OSError:
            return None  # evicted by another process
        if len(data) != last - first:
            return None
        if is_small:
            with self._lock:
                self._remember(chunk.start, data)
        return data[start - first : stop - first]

    def _verify(self, chunk: _Chunk) -> bool:
        """Check the CRC-32 of a chunk of an earlier run: the machine may have stopped before it reached the disk."""
        if chunk.path.name.rpartition("-")[2] != f"{zlib.crc32(chunk.path.read_bytes()):08x}":
            return False
        with self._lock:
            index = self._chunks.index(chunk) if chunk in self._chunks else -1
            if index >= 0:
                self._chunks[index] = _Chunk(start=chunk.start, stop=chunk.stop, path=chunk.path)
        return True

    def _insert(self, chunk: _Chunk) -> bool:
        overlaps = any(other.start < chunk.stop and chunk.start < other.stop for other in self._chunks)
        if overlaps or self._discarded:
            return False
        self._chunks.insert(bisect_right(self._chunks, chunk.start, key=lambda other: other.start), chunk)
        return True

    def _remove(self, chunk: _Chunk) -> None:
        with self._lock:
            if chunk in self._chunks:
                self._chunks.remove(chunk)
            self._memory.pop(chunk.start, None)
        chunk.path.unlink(missing_ok=True)

    def _remember(self, start: int, data: bytes) -> None:
        self._memory[start] = data
        self._memory.move_to_end(start)
        while len(self._memory) > _CHUNKS_IN_MEMORY:
            self._memory.popitem(last=False)

    def _write_file(self, name: str, data: bytes) -> Path:
        """Write a file that appears as a whole or not at all."""
        path, scratch = self.folder / name, self.folder / f".{os.getpid()}-{secrets.token_hex(4)}"
        try:
            make_private(self.folder)
            with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
                file.write(data)
            scratch.replace(path)
        except OSError as error:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            if self._discarded:
                return path  # another thread has just deleted the folder: nobody will read it
            raise disk_error(self.folder, error) from error
        return path


def make_private(folder: Path) -> None:
    """Create a folder that only its owner may read, or make one such that an earlier version created.

    What was fetched with a token is in the cache, and other users of the machine may not have that access.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def _list_chunks(folder: Path) -> list[_Chunk]:
    """Return the chunks of earlier runs; of overlapping ones, which concurrent runs may leave, only the first."""
    chunks: list[_Chunk] = []
    for path in folder.iterdir():
        match = _CHUNK_NAME.fullmatch(path.name)
        if match and path.stat().st_size == int(match[2]) - int(match[1]):
            chunks.append(_Chunk(start=int(match[1]), stop=int(match[2]), path=path, verified=False))
    chunks.sort(key=lambda chunk: (chunk.start, -chunk.stop))
    kept: list[_Chunk] = []
    for chunk in chunks:
        if not kept or chunk.start >= kept[-1].stop:
            kept.append(chunk)
    return kept


def in_use(folder: Path) -> bool:
    """Tell whether a process has the entry in a folder open."""
    try:
        fd = os.open(folder / _LOCK_FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def remove_entry(folder: Path) -> None:
    """Delete the folder of an entry; it is renamed first, so that nobody opens one that is half deleted."""
    hidden = folder.with_name(f".{os.getpid()}-{secrets.token_hex(4)}")
    with suppress(OSError):
        folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def disk_error(folder: Path, error: OSError) -> NetworkError:
    """Return the error to raise when the folder of an entry cannot be written."""
    return NetworkError(
        f"{folder.parent}: downloaded bytes cannot be stored there ({error.strerror or error}); "
        "set cache under [sync] to a writable folder with free space"
    )
