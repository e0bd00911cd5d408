"""The bytes of one entry of a zip archive, found and checked while they are read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import LazyFile, RandomAccessFile, Span, check_range

# What a local header may hold beside its fixed part and the name.
EXTRA: Final = 65_535

_LOCAL: Final = struct.Struct("<4s5H3L2H")


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipEntry:
    """One file by the archive's table: where its header starts, its bytes as stored and as they are.

    crc: of the bytes as they are; None where none was computed. torch then writes 0 (`set_crc32_options(False)`, and
    `skip_data` for storages alone), which stands for no bytes, and for others once in four billion.
    """

    name: str
    header_offset: int
    compressed_size: int
    size: int
    is_deflated: bool
    crc: int | None

    @property
    def min_data_offset(self) -> int:
        """The lowest offset at which its bytes can start."""
        return self.header_offset + _LOCAL.size + len(self.name.encode("utf-8", "surrogateescape"))


class CompressedData:
    """An entry's bytes as they lie in the archive, before `end`, where something else starts.

    Where they start is told only by the entry's own header, which is read at the first read.
    """

    def __init__(self, file: RandomAccessFile, entry: ZipEntry, end: int) -> None:
        self.name = file.name
        self.size = entry.compressed_size
        self._file = file
        self._entry = entry
        self._end = end
        self._start: int | None = None

    def read(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        if not length:
            return b""
        if self._start is None:
            self._start = self._find()
        return self._file.read(self._start + offset, length)

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        """Yield where bytes lie; before the header was read that is known up to what the header may hold."""
        if start >= stop:
            return
        if self._start is not None:
            yield Span(self._file, self._start + start, self._start + stop)
            return
        header, least = self._entry.header_offset, self._entry.min_data_offset
        most = min(self._end - self.size, least + EXTRA)
        if start:
            yield Span(self._file, header, header + _LOCAL.size)
            yield Span(self._file, least + start, most + stop)
        else:
            yield Span(self._file, header, most + stop)

    def _find(self) -> int:
        """Return the offset of the first byte."""
        fields = _LOCAL.unpack(self._file.read(self._entry.header_offset, _LOCAL.size))
        start = self._entry.header_offset + _LOCAL.size + int(fields[9]) + int(fields[10])
        if fields[0] != b"PK\3\4" or start + self.size > self._end:
            raise FormatError(f"{self.name}: its entry {self._entry.name!r} is not where the table says")
        return start


class CrcCheckedFile:
    """An entry's bytes, held against its CRC-32 as they pass: of one that is damaged, the last byte is not given out.

    Nothing is read for the sake of it. Entries that are read in part, or in another order than their own, stay
    unchecked.
    """

    def __init__(self, file: RandomAccessFile, entry: ZipEntry) -> None:
        self.name = file.name
        self.size = file.size
        self._file = file
        self._entry = entry
        self._crc = 0
        self._summed = 0

    def read(self, offset: int, length: int) -> bytes:
        data = self._file.read(offset, length)
        known = self._summed - offset
        if 0 <= known < length:
            self._crc = zlib.crc32(memoryview(data)[known:], self._crc)
            self._summed = offset + length
        if self._summed == self.size and self._crc != self._entry.crc:
            raise damaged_entry_error(self.name, self._entry)
        return data

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        yield Span(self._file, start, stop)


def open_stored(packed: CompressedData, entry: ZipEntry) -> RandomAccessFile:
    """Return the bytes of an entry that is not deflated."""
    return packed if entry.crc is None else CrcCheckedFile(packed, entry)


def open_deflated(packed: CompressedData, entry: ZipEntry) -> RandomAccessFile:
    """Return the bytes that an entry inflates to, all of them at the first read."""

    def decode() -> bytes:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflater.decompress(packed.read(0, packed.size), entry.size + 1)
        except zlib.error as error:
            raise FormatError(f"{packed.name}: its entry {entry.name!r} does not inflate: {error}") from error
        if len(data) == entry.size and entry.crc not in (None, zlib.crc32(data)):
            raise damaged_entry_error(packed.name, entry)
        return data

    return LazyFile(entry.size, decode, packed.name, sources=(Span(packed, 0, packed.size),))


def damaged_entry_error(name: str, entry: ZipEntry) -> FormatError:
    return FormatError(f"{name}: its entry {entry.name!r} is damaged (CRC-32); fetch it again")
