"""The central directory of an untrusted zip archive, read by byte range and checked against the file."""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Final

from filtercrawl.api.errors import FormatError, TruncatedError, UnsafeFileError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.zip.entry import CompressedData, ZipEntry, open_deflated, open_stored

# The end of central directory record with the longest comment (65,535 bytes) and the zip64 locator before it.
MAX_TAIL_BYTES: Final = 65_535 + 22 + 20
MAX_ENTRIES: Final = 1 << 18
MAX_DIRECTORY_BYTES: Final = 64 << 20
# Deflate expands a byte to at most 1032 bytes; the second limit is for all entries of an archive together.
MAX_COMPRESSION_RATIO: Final = 1032
MAX_INFLATED_BYTES: Final = 1 << 30

# Structures of APPNOTE.TXT, sections 4.3.12 (central directory header), 4.3.16 (end of central directory record),
# 4.3.14 (zip64 end of central directory record) and 4.3.15 (zip64 locator).
_DIRECTORY_HEADER: Final = struct.Struct("<4s6H3L5H2L")
_END_RECORD: Final = struct.Struct("<4s4H2LH")
_ZIP64_END_RECORD: Final = struct.Struct("<4sQ2H2L4Q")
_ZIP64_LOCATOR: Final = struct.Struct("<4sLQL")


class ZipArchive:
    """The entries of an archive.

    Attributes:
        file: The archive.
        entries: Entries by name, in the order of the central directory.
    """

    def __init__(self, file: RandomAccessFile) -> None:
        """Read the central directory.

        Raises:
            FormatError: The directory is damaged, or two entries overlap or have the same name.
            TruncatedError: The file has no end of central directory record.
            UnsafeFileError: The directory is larger than any archive of weights has.
            UnsupportedError: Encryption, several disks, or a compression method other than deflate.
        """
        self.file = file
        start, length, count = self._find_directory()
        if count > MAX_ENTRIES or length > MAX_DIRECTORY_BYTES:
            raise UnsafeFileError(
                f"{file.name}: the zip archive has {count} entries, at most {MAX_ENTRIES} are supported"
            )
        self.entries = self._read_directory(file.read(start, length), count)
        # Where the data of an entry must end: at the next local header, or at the central directory.
        self._boundaries = sorted(entry.header_offset for entry in self.entries.values())
        self._boundaries.append(start)
        if len(set(self._boundaries)) < len(self._boundaries):
            raise FormatError(f"{file.name}: two entries of the zip archive have the same offset")
        self._check_overlaps()
        self._inflated = 0
        self._opened: dict[str, RandomAccessFile] = {}

    def open(self, name: str) -> RandomAccessFile:
        """Return an entry as a file, always the same object for one name; nothing is read before its first read.

        Raises:
            FormatError: There is no such entry.
            UnsafeFileError: It claims to inflate to more than deflate can, or than the limit of the archive.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise FormatError(f"{self.file.name}: the archive has no entry {name[:80]!r}; fetch it again")
        if name not in self._opened:
            compressed = CompressedData(self.file, entry, self._end(entry))
            if entry.is_deflated:
                self._check_ratio(entry)
            self._opened[name] = (open_deflated if entry.is_deflated else open_stored)(compressed, entry)
        return self._opened[name]

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a small entry.

        Raises:
            FormatError: There is no such entry.
            UnsafeFileError: It is larger than `limit` bytes.
        """
        if (entry := self.entries.get(name)) is not None and entry.size > limit:
            raise UnsafeFileError(
                f"{self.file.name}: its entry {name!r} has {entry.size} bytes, at most {limit} are supported"
            )
        file = self.open(name)
        return file.read(0, file.size)

    def _find_directory(self) -> tuple[int, int, int]:
        """Return offset and length in bytes of the central directory, and its number of entries."""
        tail_start = max(0, self.file.size - MAX_TAIL_BYTES)
        tail = self.file.read(tail_start, self.file.size - tail_start)
        index = tail.rfind(b"PK\5\6")
        while index >= 0 and not _is_end_record(tail, index):
            index = tail.rfind(b"PK\5\6", 0, index)
        if index < 0:
            raise TruncatedError(f"{self.file.name}: the end of the zip archive is missing; fetch it again")
        _, disk, first_disk, count_here, count, length, start, _ = _END_RECORD.unpack_from(tail, index)
        limit = tail_start + index
        if 0xFFFF in (count, count_here) or 0xFFFFFFFF in (length, start):
            locator = index - _ZIP64_LOCATOR.size
            if locator < 0 or tail[locator : locator + 4] != b"PK\6\7":
                raise FormatError(f"{self.file.name}: the zip64 locator of the zip archive is missing; fetch it again")
            _, _, limit, _ = _ZIP64_LOCATOR.unpack_from(tail, locator)
            signature, _, _, _, disk, first_disk, count_here, count, length, start = _ZIP64_END_RECORD.unpack(
                self.file.read(limit, _ZIP64_END_RECORD.size)
            )
            if signature != b"PK\6\6":
                raise FormatError(f"{self.file.name}: the zip64 end of the zip archive is missing; fetch it again")
        if disk or first_disk or count_here != count:
            raise UnsupportedError(f"{self.file.name}: a zip archive on several disks; join its parts first")
        if start + length > limit:
            raise FormatError(f"{self.file.name}: the central directory of the zip archive exceeds its bounds")
        return start, length, count

    def _read_directory(self, directory: bytes, count: int) -> dict[str, ZipEntry]:
        entries: dict[str, ZipEntry] = {}
        index = 0
        for _ in range(count):
            if index + _DIRECTORY_HEADER.size > len(directory):
                raise FormatError(f"{self.file.name}: the central directory of the zip archive ends too early")
            fields = _DIRECTORY_HEADER.unpack_from(directory, index)
            signature, flags, method, crc, compressed_size, size, header_offset = (
                fields[0],
                *fields[3:5],
                *fields[7:10],
                fields[16],
            )
            name_length, extra_length, comment_length = fields[10:13]
            index += _DIRECTORY_HEADER.size
            end = index + name_length + extra_length + comment_length
            name = directory[index : index + name_length].decode("utf-8", "surrogateescape")
            if signature != b"PK\1\2" or end > len(directory):
                raise FormatError(f"{self.file.name}: the central directory of the zip archive is damaged")
            extra = directory[index + name_length : index + name_length + extra_length]
            size, compressed_size, header_offset = _resolve_zip64(extra, size, compressed_size, header_offset)
            index = end
            if flags & 1:
                raise UnsupportedError(f"{self.file.name}: its entry {name!r} is encrypted")
            if method not in (0, 8) or (method == 0 and compressed_size != size):
                raise UnsupportedError(f"{self.file.name}: its entry {name!r} has the unsupported compression {method}")
            if name in entries:
                raise FormatError(f"{self.file.name}: the zip archive has two entries {name!r}")
            entries[name] = ZipEntry(
                name=name,
                header_offset=header_offset,
                compressed_size=compressed_size,
                size=size,
                is_deflated=method == 8,
                crc=crc or None,
            )
        return entries

    def _check_overlaps(self) -> None:
        for entry in self.entries.values():
            if entry.min_data_offset + entry.compressed_size > self._end(entry):
                raise FormatError(f"{self.file.name}: its entry {entry.name!r} overlaps the next one; fetch it again")

    def _end(self, entry: ZipEntry) -> int:
        """Return the offset at which the data of an entry must end."""
        following = bisect_right(self._boundaries, entry.header_offset)
        return self._boundaries[following] if following < len(self._boundaries) else 0

    def _check_ratio(self, entry: ZipEntry) -> None:
        self._inflated += entry.size
        if (
            entry.size > MAX_COMPRESSION_RATIO * entry.compressed_size + MAX_COMPRESSION_RATIO
            or self._inflated > MAX_INFLATED_BYTES
        ):
            raise UnsafeFileError(
                f"{self.file.name}: its entry {entry.name!r} claims an impossible size of {entry.size} bytes"
            )


def leading_bytes(file: RandomAccessFile) -> int:
    """Return how many bytes precede the last archive of a file, 0 for a file that is one archive or none."""
    tail_start = max(0, file.size - MAX_TAIL_BYTES)
    tail = file.read(tail_start, file.size - tail_start)
    index = tail.rfind(b"PK\5\6")
    if index < 0 or not _is_end_record(tail, index):
        return 0
    length, start = map(int, _END_RECORD.unpack_from(tail, index)[5:7])
    locator = index - _ZIP64_LOCATOR.size
    if locator >= 0 and tail[locator : locator + 4] == b"PK\6\7":
        index = locator - _ZIP64_END_RECORD.size
    return max(0, tail_start + index - length - start)


def _is_end_record(tail: bytes, index: int) -> bool:
    """Return whether an end of central directory record starts at `index`: its comment must end where the file ends.

    Its signature may occur in the comment as well.
    """
    comment_length = int.from_bytes(tail[index + 20 : index + 22], "little")
    return index + _END_RECORD.size + comment_length == len(tail)


def _resolve_zip64(extra: bytes, *values: int) -> list[int]:
    """Replace sizes and offsets of 0xFFFFFFFF by the 64-bit numbers of the zip64 extra field (id 1).

    Args:
        extra: Extra field of a central directory header.
        *values: Size, compressed size and header offset: the order in which the field lists those that it has.
    """
    missing = [index for index, value in enumerate(values) if value == 0xFFFFFFFF]
    resolved = list(values)
    position = 0
    while missing and position + 4 <= len(extra):
        field_id, length = struct.unpack_from("<2H", extra, position)
        position += 4
        if field_id == 1 and length >= 8 * len(missing) and position + length <= len(extra):
            for number, index in enumerate(missing):
                resolved[index] = int.from_bytes(extra[position + 8 * number : position + 8 * number + 8], "little")
            return resolved
        position += length
    return resolved
