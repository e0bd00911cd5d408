"""The bytes of one entry of a zip archive, located by its local header and checked against its CRC-32 on read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import RandomAccessFile, Span, check_range

# Length of the extra field of a local header at most (it has 16 bits).
MAX_EXTRA_BYTES: Final = 65_535

# Local file header up to the name: signature, versions, method, sizes, and the lengths of name and extra field.
_LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipEntry:
    """An entry as the central directory states it.

    Attributes:
        name: Name, undecodable bytes as surrogates.
        header_offset: Offset of the local header in the archive.
        compressed_size: Bytes in the archive.
        size: Bytes after decompression.
        is_deflated: Whether the bytes are compressed by deflate (method 8); otherwise they are stored (method 0).
        crc: CRC-32 of the decompressed bytes; None if it was not computed. torch then writes 0
            (`set_crc32_options(False)`, or `skip_data` for the storages), a value that real content has once in four
            billion files.
    """

    name: str
    header_offset: int
    compressed_size: int
    size: int
    is_deflated: bool
    crc: int | None

    @property
    def min_data_offset(self) -> int:
        """The lowest possible offset of the data: after a local header without an extra field."""
        return self.header_offset + _LOCAL_HEADER.size + len(self.name.encode("utf-8", "surrogateescape"))


class CompressedData:
    """The bytes of an entry as stored in the archive, as a file.

    Their offset follows only from the local header, which is read at the first read: the length of its extra field may
    differ from that in the central directory.
    """

    def __init__(self, file: RandomAccessFile, entry: ZipEntry, end: int) -> None:
        """Describe an entry whose data end at or before the offset `end` of the archive."""
        self.name = file.name
        self.size = entry.compressed_size
        self._file = file
        self._entry = entry
        self._end = end
        self._start: int | None = None

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; raises FormatError if the entry is damaged."""
        check_range(self, offset, length)
        if not length:
            return b""
        if self._start is None:
            self._start = self._locate()
        return self._file.read(self._start + offset, length)

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        """Yield the ranges of the archive to read, wide enough for any extra field until the local header is read."""
        if start >= stop:
            return
        if self._start is not None:
            yield Span(self._file, self._start + start, self._start + stop)
            return
        header, lowest = self._entry.header_offset, self._entry.min_data_offset
        highest = min(self._end - self.size, lowest + MAX_EXTRA_BYTES)
        if start:
            yield Span(self._file, header, header + _LOCAL_HEADER.size)
            yield Span(self._file, lowest + start, highest + stop)
        else:
            yield Span(self._file, header, highest + stop)

    def _locate(self) -> int:
        """Return the offset of the first data byte, from the local header."""
        fields = _LOCAL_HEADER.unpack(self._file.read(self._entry.header_offset, _LOCAL_HEADER.size))
        start = self._entry.header_offset + _LOCAL_HEADER.size + int(fields[9]) + int(fields[10])
        if fields[0] != b"PK\3\4" or start + self.size > self._end:
            raise FormatError(
                f"{self.name}: its entry {self._entry.name[:80]!r} is not where the central directory says; "
                "fetch it again"
            )
        return start


class CrcCheckedFile:
    """An entry whose CRC-32 is computed while it is read in order; the read that returns its last byte checks it.

    Nothing is read only for the check. An entry that is read in part or out of order is not checked.
    """

    def __init__(self, file: RandomAccessFile, entry: ZipEntry) -> None:
        self.name = file.name
        self.size = file.size
        self._file = file
        self._entry = entry
        self._crc = 0
        self._checked = 0

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; raises FormatError if the entry is damaged."""
        data = self._file.read(offset, length)
        overlap = self._checked - offset
        if 0 <= overlap < length:
            self._crc = zlib.crc32(memoryview(data)[overlap:], self._crc)
            self._checked = offset + length
        if self._checked == self.size and self._crc != self._entry.crc:
            raise damaged_entry_error(self.name, self._entry)
        return data

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        """Yield the same bytes of the unchecked entry."""
        yield Span(self._file, start, stop)


def open_stored(compressed: CompressedData, entry: ZipEntry) -> RandomAccessFile:
    """Return a stored entry as a file."""
    return compressed if entry.crc is None else CrcCheckedFile(compressed, entry)


def damaged_entry_error(name: str, entry: ZipEntry) -> FormatError:
    """Return the error for an entry of the archive `name` whose CRC-32 does not match."""
    return FormatError(f"{name}: its entry {entry.name[:80]!r} is damaged (CRC-32); fetch it again")
