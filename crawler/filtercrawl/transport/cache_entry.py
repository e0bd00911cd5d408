"""Bytes of one remote file as they came: pieces on disk, each written once and whole."""

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
from filtercrawl.transport.coalesce import Range, normalize_ranges, subtract

_NAME: Final = re.compile(r"(\d{1,18})-(\d{1,18})-([0-9a-f]{8})")
_LOCK: Final = "lock"
_VERSION: Final = "version.json"
# Headers are read in thousands of small steps: pieces up to this size are kept in memory, so many of them.
_SMALL: Final = 256 * 1024
_KEPT: Final = 16


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    start: int
    stop: int
    path: Path
    trusted: bool = True  # written by this process, so that nobody need look whether it is whole


class CacheEntry:
    """The bytes of one version of one file, kept in a folder of its own. Thread-safe, and safe between processes.

    A piece appears under its name when it is complete, and its name holds its CRC-32: what another run left is believed
    after its first reading. While the folder is open, a lock says so to whoever makes room.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._discarded = False
        self._pieces: list[_Chunk] = []  # sorted by start; none overlaps another
        self._memory: OrderedDict[int, bytes] = OrderedDict()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._held = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_SH)
            os.utime(folder)  # the order in which folders are given up
            self._pieces = _listed(folder)
        except OSError as error:
            raise disk_error(folder, error) from error

    @property
    def version(self) -> dict[str, str]:
        """What told versions of the file apart when the first of these bytes came; empty where nothing came yet."""
        try:
            return dict(json.loads((self.folder / _VERSION).read_text("utf-8")))
        except (OSError, ValueError):
            return {}

    @version.setter
    def version(self, found: Mapping[str, str]) -> None:
        self._put(_VERSION, json.dumps(dict(found)).encode())

    @property
    def ranges(self) -> tuple[Range, ...]:
        """What is here: (start, stop) in bytes, sorted and apart."""
        with self._lock:
            return normalize_ranges((piece.start, piece.stop) for piece in self._pieces)

    def missing(self, start: int, stop: int) -> tuple[Range, ...]:
        """Return what of a range is not here."""
        with self._lock:  # of thousands of pieces only those that may lie there
            first = max(bisect_right(self._pieces, start, key=lambda piece: piece.start) - 1, 0)
            last = bisect_left(self._pieces, stop, key=lambda piece: piece.start)
            here = normalize_ranges((piece.start, piece.stop) for piece in self._pieces[first:last])
        return subtract(normalize_ranges([(start, stop)]), here)

    def add(self, start: int, data: bytes) -> None:
        """Keep bytes that came from `start` on; what is here already is left as it is. Raises NetworkError."""
        if self._discarded:
            return  # the last of a version that is no more
        for first, last in self.missing(start, start + len(data)):
            part = data[first - start : last - start]
            path = self._put(f"{first}-{last}-{zlib.crc32(part):08x}", part)
            with self._lock:
                # Another request may have brought some of it meanwhile; what is lacking then is fetched again.
                kept = self._insert(_Chunk(start=first, stop=last, path=path))
                if kept and len(part) <= _SMALL:
                    self._remember(first, part)
                if not kept and all(piece.path != path for piece in self._pieces):
                    path.unlink(missing_ok=True)

    def read(self, start: int, stop: int) -> bytes | None:
        """Return bytes that are here; None where one of the pieces turned out not to be."""
        parts = []
        while start < stop:
            with self._lock:
                at = bisect_right(self._pieces, start, key=lambda piece: piece.start) - 1
                piece = self._pieces[at] if at >= 0 else None
            if piece is None or piece.stop <= start:
                return None
            part = self._part(piece, start, min(stop, piece.stop))
            if part is None:
                self._drop(piece)
                return None
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def invalidate(self, start: int, stop: int) -> None:
        """Drop the pieces that begin in a range, for they came with a lie."""
        with self._lock:
            doubted = [piece for piece in self._pieces if start <= piece.start < stop]
        for piece in doubted:
            self._drop(piece)

    def discard(self) -> None:
        """Give up what is here, for it is of a version of the file that is no more."""
        with self._lock:
            self._discarded = True
            self._pieces.clear()
            self._memory.clear()
        remove_entry(self.folder)

    def close(self) -> None:
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def __del__(self) -> None:
        self.close()

    def _part(self, piece: _Chunk, start: int, stop: int) -> bytes | None:
        with self._lock:
            known = self._memory.get(piece.start)
            if known is not None:
                self._memory.move_to_end(piece.start)
                return known[start - piece.start : stop - piece.start]
        try:
            if not piece.trusted and not self._verify_crc(piece):
                return None
            small = piece.stop - piece.start <= _SMALL
            first, last = (piece.start, piece.stop) if small else (start, stop)
            with piece.path.open("rb") as file:
                file.seek(first - piece.start)
                data = file.read(last - first)
        except OSError:
            return None  # another process made room: the bytes are fetched again
        if len(data) != last - first:
            return None
        if small:
            with self._lock:
                self._remember(piece.start, data)
        return data[start - first : stop - first]

    def _verify_crc(self, piece: _Chunk) -> bool:
        """Look whether a piece of an earlier run is what was written: the machine may have stopped in between."""
        if piece.path.name.rpartition("-")[2] != f"{zlib.crc32(piece.path.read_bytes()):08x}":
            return False
        with self._lock:
            at = self._pieces.index(piece) if piece in self._pieces else -1
            if at >= 0:
                self._pieces[at] = _Chunk(start=piece.start, stop=piece.stop, path=piece.path)
        return True

    def _insert(self, piece: _Chunk) -> bool:
        if any(other.start < piece.stop and piece.start < other.stop for other in self._pieces):
            return False
        self._pieces.insert(bisect_right(self._pieces, piece.start, key=lambda other: other.start), piece)
        return True

    def _drop(self, piece: _Chunk) -> None:
        with self._lock:
            if piece in self._pieces:
                self._pieces.remove(piece)
            self._memory.pop(piece.start, None)
        piece.path.unlink(missing_ok=True)

    def _remember(self, start: int, data: bytes) -> None:
        self._memory[start] = data
        self._memory.move_to_end(start)
        while len(self._memory) > _KEPT:
            self._memory.popitem(last=False)

    def _put(self, name: str, data: bytes) -> Path:
        """Write a file that appears whole or not at all."""
        path, hidden = self.folder / name, self.folder / f".{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            hidden.write_bytes(data)
            hidden.replace(path)
        except OSError as error:
            with suppress(OSError):
                hidden.unlink(missing_ok=True)
            raise disk_error(self.folder, error) from error
        return path


def _listed(folder: Path) -> list[_Chunk]:
    """Return the pieces that earlier runs left; of two that overlap, as two runs at a time may leave them, one."""
    found: list[_Chunk] = []
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and path.stat().st_size == int(match[2]) - int(match[1]):
            found.append(_Chunk(start=int(match[1]), stop=int(match[2]), path=path, trusted=False))
    found.sort(key=lambda piece: (piece.start, -piece.stop))
    kept: list[_Chunk] = []
    for piece in found:
        if not kept or piece.start >= kept[-1].stop:
            kept.append(piece)
    return kept


def in_use(folder: Path) -> bool:
    """Tell whether some process has a folder of pieces open."""
    try:
        held = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(held)
    return False


def remove_entry(folder: Path) -> None:
    """Delete a folder of pieces: first out of sight, so that nobody opens half of it."""
    hidden = folder.with_name(f".{os.getpid()}-{secrets.token_hex(4)}")
    with suppress(OSError):
        folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def disk_error(folder: Path, error: OSError) -> NetworkError:
    return NetworkError(
        f"{folder.parent}: fetched bytes cannot be kept there ({error.strerror or error}); "
        "set cache under [sync] to a folder with room"
    )
