"""The central directory of an untrusted zip archive, parsed once for each open file and checked against it."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from filtercrawl.api.errors import CheckpointError, FormatError, TruncatedError, UnsafeFileError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.zip.entry import ZipEntry

# The end of central directory record with the longest comment (65,535 bytes) and the zip64 locator before it.
MAX_TAIL_BYTES: Final = 65_535 + 22 + 20
MAX_ENTRIES: Final = 1 << 17
MAX_DIRECTORY_BYTES: Final = 64 << 20

# Structures of APPNOTE.TXT, sections 4.3.12 (central directory header), 4.3.16 (end of central directory record),
# 4.3.14 (zip64 end of central directory record) and 4.3.15 (zip64 locator); of the first only what is needed:
# signature, flags, method, CRC-32, sizes, lengths of name, extra field and comment, offset of the local header.
_DIRECTORY_HEADER: Final = struct.Struct("<4s4x2H4x3L3H8xL")
_END_RECORD: Final = struct.Struct("<4s4H2LH")
_ZIP64_END_RECORD: Final = struct.Struct("<4sQ2H2L4Q")
_ZIP64_LOCATOR: Final = struct.Struct("<4sLQL")


@dataclass(frozen=True, kw_only=True)
class Directory:
    """The entries of an archive.

    Attributes:
        entries: Entries by name, in the order of the central directory.
        boundaries: Where the data of an entry must end at the latest: the local headers, and the central directory.
    """

    entries: Mapping[str, ZipEntry]
    boundaries: tuple[int, ...]

    def end(self, entry: ZipEntry) -> int:
        """Return the offset at which the data of an entry must end."""
        following = bisect_right(self.boundaries, entry.header_offset)
        return self.boundaries[following] if following < len(self.boundaries) else 0


# Each reader looks at the names of an archive to tell whether it is one of its own.
_PARSED: Final[WeakKeyDictionary[RandomAccessFile, Directory | CheckpointError]] = WeakKeyDictionary()


def read_directory(file: RandomAccessFile) -> Directory:
    """Return the central directory of an archive.

    Raises:
        FormatError: The directory is damaged, or two entries overlap or have the same name.
        TruncatedError: The file has no end of central directory record.
        UnsafeFileError: The directory is larger than any archive of weights has.
        UnsupportedError: Encryption, several disks, or a compression method other than deflate.
    """
    parsed = _PARSED.get(file)
    if parsed is None:
        try:
            parsed = _parse(file)
        except (FormatError, UnsafeFileError, UnsupportedError) as error:
            parsed = type(error)(*error.args)  # its frames would keep the file, and what was read of it, forever
        _PARSED[file] = parsed
    if isinstance(parsed, CheckpointError):
        raise type(parsed)(*parsed.args)
    return parsed


def _parse(file: RandomAccessFile) -> Directory:
    start, length, count = _find(file)
    if count > MAX_ENTRIES or length > MAX_DIRECTORY_BYTES:
        raise UnsafeFileError(
            f"{file.name}: the zip archive has {count} entries in a directory of {length} bytes, at most "
            f"{MAX_ENTRIES} and {MAX_DIRECTORY_BYTES} are supported"
        )
    entries = _read_entries(file, file.read(start, length), count)
    boundaries = sorted(entry.header_offset for entry in entries.values())
    boundaries.append(start)
    if len(set(boundaries)) < len(boundaries):
        raise FormatError(f"{file.name}: two entries of the zip archive have the same offset")
    directory = Directory(entries=entries, boundaries=tuple(boundaries))
    for entry in entries.values():
        if entry.min_data_offset + entry.compressed_size > directory.end(entry):
            raise FormatError(f"{file.name}: its entry {entry.name[:80]!r} overlaps the next one; fetch it again")
    return directory


def _find(file: RandomAccessFile) -> tuple[int, int, int]:
    """Return offset and length in bytes of the central directory, and its number of entries."""
    tail_start = max(0, file.size - MAX_TAIL_BYTES)
    tail = file.read(tail_start, file.size - tail_start)
    index = tail.rfind(b"PK\5\6")
    while index >= 0 and not _is_end_record(tail, index):
        index = tail.rfind(b"PK\5\6", 0, index)
    if index < 0:
        raise TruncatedError(f"{file.name}: the end of the zip archive is missing; fetch it again")
    _, disk, first_disk, count_here, count, length, start, _ = _END_RECORD.unpack_from(tail, index)
    limit = tail_start + index
    if 0xFFFF in (count, count_here) or 0xFFFFFFFF in (length, start):
        locator = index - _ZIP64_LOCATOR.size
        if locator < 0 or tail[locator : locator + 4] != b"PK\6\7":
            raise FormatError(f"{file.name}: the zip64 locator of the zip archive is missing; fetch it again")
        _, _, limit, _ = _ZIP64_LOCATOR.unpack_from(tail, locator)
        signature, _, _, _, disk, first_disk, count_here, count, length, start = _ZIP64_END_RECORD.unpack(
            file.read(limit, _ZIP64_END_RECORD.size)
        )
        if signature != b"PK\6\6":
            raise FormatError(f"{file.name}: the zip64 end of the zip archive is missing; fetch it again")
    if disk or first_disk or count_here != count:
        raise UnsupportedError(f"{file.name}: a zip archive on several disks; join its parts first")
    if start + length > limit:
        raise FormatError(f"{file.name}: the central directory of the zip archive exceeds its bounds")
    return start, length, count


def _read_entries(file: RandomAccessFile, directory: bytes, count: int) -> dict[str, ZipEntry]:
    entries: dict[str, ZipEntry] = {}
    index = 0
    for _ in range(count):
        if index + _DIRECTORY_HEADER.size > len(directory):
            raise FormatError(f"{file.name}: the central directory of the zip archive ends too early")
        signature, flags, method, crc, compressed_size, size, name_length, extra_length, comment_length, offset = (
            _DIRECTORY_HEADER.unpack_from(directory, index)
        )
        name_start = index + _DIRECTORY_HEADER.size
        extra_start = name_start + name_length
        index = extra_start + extra_length + comment_length
        if signature != b"PK\1\2" or index > len(directory):
            raise FormatError(f"{file.name}: the central directory of the zip archive is damaged")
        name = directory[name_start:extra_start].decode("utf-8", "surrogateescape")
        if 0xFFFFFFFF in (size, compressed_size, offset):
            extra = directory[extra_start : extra_start + extra_length]
            size, compressed_size, offset = _resolve_zip64(extra, size, compressed_size, offset)
        if flags & 1:
            raise UnsupportedError(f"{file.name}: its entry {name[:80]!r} is encrypted")
        if method not in (0, 8) or (method == 0 and compressed_size != size):
            raise UnsupportedError(f"{file.name}: its entry {name[:80]!r} has the unsupported compression {method}")
        if name in entries:
            raise FormatError(f"{file.name}: the zip archive has two entries {name[:80]!r}")
        entries[name] = ZipEntry(
            name=name,
            header_offset=offset,
            compressed_size=compressed_size,
            size=size,
            is_deflated=method == 8,
            crc=crc or None,
        )
    return entries


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
