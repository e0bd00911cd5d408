"""An untrusted zip archive, whose entries are read by byte range."""

from __future__ import annotations

from typing import Final

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.zip.directory import read_directory
from filtercrawl_plugins.formats.zip.entry import CompressedData, ZipEntry, open_stored
from filtercrawl_plugins.formats.zip.inflated import InflatedFile

# Deflate expands a byte to at most 1032 bytes.
MAX_COMPRESSION_RATIO: Final = 1032


class ZipArchive:
    """The entries of an archive.

    Attributes:
        file: The archive.
        budget: The budget of the checkpoint, which pays for what is decompressed.
        entries: Entries by name, in the order of the central directory.
    """

    def __init__(self, file: RandomAccessFile, budget: Budget) -> None:
        """Read the central directory; raises CheckpointError as `read_directory` does."""
        self.file = file
        self.budget = budget
        self._directory = read_directory(file)
        self.entries = self._directory.entries
        self._opened: dict[str, RandomAccessFile] = {}

    def open(self, name: str) -> RandomAccessFile:
        """Return an entry as a file, always the same object for one name; nothing is read before its first read.

        Raises:
            FormatError: There is no such entry.
            UnsafeFileError: It claims to inflate to more than deflate can.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise FormatError(f"{self.file.name}: the archive has no entry {name[:80]!r}; fetch it again")
        if name not in self._opened:
            self._opened[name] = self._open(entry)
        return self._opened[name]

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a small entry.

        Raises:
            FormatError: There is no such entry.
            UnsafeFileError: It is larger than `limit` bytes.
        """
        if (entry := self.entries.get(name)) is not None and entry.size > limit:
            raise UnsafeFileError(
                f"{self.file.name}: its entry {name[:80]!r} has {entry.size} bytes, at most {limit} are supported"
            )
        file = self.open(name)
        return file.read(0, file.size)

    def _open(self, entry: ZipEntry) -> RandomAccessFile:
        compressed = CompressedData(self.file, entry, self._directory.end(entry))
        if not entry.is_deflated:
            return open_stored(compressed, entry)
        if entry.size > MAX_COMPRESSION_RATIO * entry.compressed_size + MAX_COMPRESSION_RATIO:
            raise UnsafeFileError(
                f"{self.file.name}: its entry {entry.name[:80]!r} claims an impossible size of {entry.size} bytes"
            )
        return InflatedFile(compressed, entry, self.budget)
