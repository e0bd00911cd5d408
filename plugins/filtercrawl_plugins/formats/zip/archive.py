"""The table of contents of a zip archive, read by byte range and believed in nothing."""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Final

from filtercrawl.api.errors import FormatError, TruncatedError, UnsafeFileError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.zip.entry import CompressedData, ZipEntry, open_deflated, open_stored

MAX_TAIL_BYTES: Final = 65_535 + 22 + 20
MAX_ENTRIES: Final = 1 << 18
MAX_DIRECTORY_BYTES: Final = 64 << 20
# No deflated byte gives more than 1032; and no archive of weights needs to be inflated beyond this.
MAX_COMPRESSION_RATIO: Final = 1032
MAX_INFLATED_BYTES: Final = 1 << 30

_ENTRY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")


class ZipArchive:
    """The entries of an archive by name; raises FormatError where table and bytes contradict each other."""

    def __init__(self, file: RandomAccessFile) -> None:
        self.file = file
        start, length, count = self._find_directory()
        if count > MAX_ENTRIES or length > MAX_DIRECTORY_BYTES:
            raise UnsafeFileError(
                f"{file.name}: a zip archive of {count} entries; more than {MAX_ENTRIES} are not read"
            )
        self.entries = self._read_directory(file.read(start, length), count)
        self._ends = sorted(entry.header_offset for entry in self.entries.values())
        self._ends.append(start)
        if len(set(self._ends)) < len(self._ends):
            raise FormatError(f"{file.name}: two entries of the zip archive lie at one place")
        self._check_overlaps()
        self._inflated = 0
        self._opened: dict[str, RandomAccessFile] = {}

    def open(self, name: str) -> RandomAccessFile:
        """Return an entry as a file; reads nothing, so that what its own header tells is known at the first read.

        Raises FormatError where no such entry is, UnsafeError where it claims to inflate to more than it can.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise FormatError(f"{self.file.name}: the archive has no entry {name[:80]!r}; fetch it again")
        if name not in self._opened:
            packed = CompressedData(self.file, entry, self._end(entry))
            if entry.is_deflated:
                self._check_ratio(entry)
            self._opened[name] = (open_deflated if entry.is_deflated else open_stored)(packed, entry)
        return self._opened[name]

    def read(self, name: str, limit: int) -> bytes:
        """Return the bytes of a small entry; raises UnsafeError beyond `limit` bytes."""
        if (entry := self.entries.get(name)) is not None and entry.size > limit:
            raise UnsafeFileError(
                f"{self.file.name}: its entry {name!r} claims {entry.size} bytes, at most {limit} are read"
            )
        file = self.open(name)
        return file.read(0, file.size)

    def _find_directory(self) -> tuple[int, int, int]:
        """Return the directory's offset, its length in bytes, and its number of entries."""
        base = max(0, self.file.size - MAX_TAIL_BYTES)
        tail = self.file.read(base, self.file.size - base)
        at = tail.rfind(b"PK\5\6")
        while at >= 0 and at + _END.size + int.from_bytes(tail[at + 20 : at + 22], "little") != len(tail):
            at = tail.rfind(b"PK\5\6", 0, at)
        if at < 0:
            raise TruncatedError(f"{self.file.name}: a zip archive without its end; fetch it again")
        _, disk, first_disk, here, count, length, start, _ = _END.unpack_from(tail, at)
        limit = base + at
        if 0xFFFF in (count, here) or 0xFFFFFFFF in (length, start):
            if at < _LOCATOR.size or tail[at - _LOCATOR.size : at - _LOCATOR.size + 4] != b"PK\6\7":
                raise FormatError(f"{self.file.name}: a large zip archive without its large end")
            _, _, place, _ = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)
            mark, _, _, _, disk, first_disk, here, count, length, start = _END64.unpack(
                self.file.read(place, _END64.size)
            )
            if mark != b"PK\6\6":
                raise FormatError(f"{self.file.name}: a large zip archive without its large end")
            limit = place
        if disk or first_disk or here != count:
            raise UnsupportedError(f"{self.file.name}: a zip archive in several parts")
        if start + length > limit:
            raise FormatError(f"{self.file.name}: the table of the zip archive lies beyond its place")
        return start, length, count

    def _read_directory(self, table: bytes, count: int) -> dict[str, ZipEntry]:
        entries: dict[str, ZipEntry] = {}
        at = 0
        for _ in range(count):
            if at + _ENTRY.size > len(table):
                raise FormatError(f"{self.file.name}: the table of the zip archive ends too early")
            fields = _ENTRY.unpack_from(table, at)
            mark, flags, method, crc, packed, size, header = (
                fields[0],
                *fields[3:5],
                *fields[7:10],
                fields[16],
            )
            names, extras, comments = fields[10:13]
            at += _ENTRY.size
            name = table[at : at + names].decode("utf-8", "surrogateescape")
            if mark != b"PK\1\2" or at + names + extras + comments > len(table):
                raise FormatError(f"{self.file.name}: the table of the zip archive is broken")
            size, packed, header = self._large(table[at + names : at + names + extras], size, packed, header)
            at += names + extras + comments
            if flags & 1:
                raise UnsupportedError(f"{self.file.name}: its entry {name!r} is encrypted")
            if method not in (0, 8) or (method == 0 and packed != size):
                raise UnsupportedError(f"{self.file.name}: its entry {name!r} is packed by a method that is not read")
            if name in entries:
                raise FormatError(f"{self.file.name}: the zip archive has two entries {name!r}")
            entries[name] = ZipEntry(
                name=name,
                header_offset=header,
                compressed_size=packed,
                size=size,
                is_deflated=method == 8,
                crc=crc or None,
            )
        return entries

    def _large(self, extra: bytes, *values: int) -> list[int]:
        """Take from the zip64 field, in its fixed order, the numbers that did not fit."""
        wanted = [index for index, value in enumerate(values) if value == 0xFFFFFFFF]
        found = list(values)
        at = 0
        while wanted and at + 4 <= len(extra):
            kind, length = struct.unpack_from("<2H", extra, at)
            if kind == 1 and length >= 8 * len(wanted) and at + 4 + length <= len(extra):
                for place, index in enumerate(wanted):
                    found[index] = int.from_bytes(extra[at + 4 + 8 * place : at + 12 + 8 * place], "little")
                return found
            at += 4 + length
        return found

    def _check_overlaps(self) -> None:
        for entry in self.entries.values():
            if entry.min_data_offset + entry.compressed_size > self._end(entry):
                raise FormatError(f"{self.file.name}: its entry {entry.name!r} overlaps what follows it")

    def _end(self, entry: ZipEntry) -> int:
        """Return where whatever lies behind an entry starts."""
        after = bisect_right(self._ends, entry.header_offset)
        return self._ends[after] if after < len(self._ends) else 0

    def _check_ratio(self, entry: ZipEntry) -> None:
        self._inflated += entry.size
        if (
            entry.size > MAX_COMPRESSION_RATIO * entry.compressed_size + MAX_COMPRESSION_RATIO
            or self._inflated > MAX_INFLATED_BYTES
        ):
            raise UnsafeFileError(f"{self.file.name}: its entry {entry.name!r} claims to inflate to {entry.size} bytes")
