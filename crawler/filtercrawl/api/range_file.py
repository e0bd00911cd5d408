"""Files that are read by byte range: in memory, remote, or derived from others; `local_file` has those on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final, NamedTuple, Protocol, runtime_checkable

from filtercrawl.api.errors import TruncatedError, UnsafeFileError

# Bytes read at a time: a copy of this size stays in the CPU cache and does not raise peak memory.
READ_CHUNK_BYTES: Final = 1024 * 1024


class RandomAccessFile(Protocol):
    """One file of known size; `read` returns exactly the bytes that were requested, or raises."""

    @property
    def name(self) -> str:
        """Name of the file in messages."""
        ...

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes.

        Args:
            offset: Of the first byte.
            length: Number of bytes.

        Raises:
            TruncatedError: The file ends before.
        """
        ...


class Span(NamedTuple):
    """Bytes of a file.

    Attributes:
        file: The file.
        start: Offset of the first byte.
        stop: End of the range, exclusive.
    """

    file: RandomAccessFile
    start: int
    stop: int


@runtime_checkable
class DerivedFile(Protocol):
    """A file whose bytes come from other files: a member of an archive, or the output of a decoder."""

    def source_spans(self, start: int, stop: int) -> Iterable[Span]:
        """Yield the bytes of other files that reading `start` to `stop` of this one reads; read nothing."""
        ...


@runtime_checkable
class Prefetchable(Protocol):
    """A file that downloads in fewer and larger requests if the ranges to be read are announced."""

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Start to download ranges, (start, stop) in bytes and in any order; return at once and raise nothing."""
        ...


@runtime_checkable
class SequentialScan(Protocol):
    """A file that decides how far to read ahead of a reader that parses it step by step."""

    def hint_seeks(self, n_seeks: int, reread: float) -> None:
        """Estimate the seeks that follow, as a hint for reading ahead.

        Args:
            n_seeks: About how many long stretches the reader will skip from here on.
            reread: About which share of their bytes, 0 to 1, will be read afterwards.
        """
        ...


class BufferReader(RandomAccessFile, Protocol):
    """A file that also reads into memory of the caller, without a copy."""

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill memory with bytes of the file.

        Args:
            offset: Of the first byte.
            target: Writable, contiguous bytes.

        Raises:
            TruncatedError: The file ends before.
        """
        ...


def read_into(file: RandomAccessFile, offset: int, target: memoryview) -> None:
    """Fill memory with bytes of a file; where the file has no such way, in copies of at most `READ_CHUNK_BYTES`.

    Raises:
        TruncatedError: The file ends before.
    """
    fill = getattr(file, "read_into", None)  # `isinstance` with a protocol takes as long as reading a small tensor
    if fill is not None:
        fill(offset, target)
        return
    for start in range(0, len(target), READ_CHUNK_BYTES):
        piece = target[start : start + READ_CHUNK_BYTES]
        piece[:] = file.read(offset + start, len(piece))


def hint_seeks(file: RandomAccessFile, n_seeks: int, reread: float) -> None:
    """Announce seeks to a file that reads ahead; do nothing for other files. See `SequentialScan.hint_seeks`."""
    if isinstance(file, SequentialScan):
        file.hint_seeks(n_seeks, reread)


def prefetch(spans: Iterable[Span]) -> None:
    """Announce bytes that will be read soon. Reads are correct without it, but slower for remote files."""
    wanted: dict[int, tuple[Prefetchable, list[tuple[int, int]]]] = {}
    for span in _source_spans(spans):
        if isinstance(span.file, Prefetchable) and span.start < span.stop:
            wanted.setdefault(id(span.file), (span.file, []))[1].append((span.start, span.stop))
    for file, ranges in wanted.values():
        file.prefetch(ranges)


def _source_spans(spans: Iterable[Span]) -> Iterator[Span]:
    """Replace spans of derived files by those of the files that hold the bytes."""
    for span in spans:
        if isinstance(span.file, DerivedFile):
            yield from _source_spans(span.file.source_spans(span.start, span.stop))
        else:
            yield span


def check_range(file: RandomAccessFile, offset: int, length: int) -> None:
    """Raise TruncatedError unless a file has `length` bytes from `offset` on; allocates nothing."""
    if offset < 0 or length < 0 or offset + length > file.size:
        raise TruncatedError(
            f"{file.name}: is cut off or damaged: it declares bytes {offset} to {offset + length}, but the file has "
            f"{file.size}; fetch it again"
        )


class MemoryFile:
    """Bytes in memory with the interface of a file."""

    def __init__(self, data: bytes, name: str = "<memory>") -> None:
        self._data = data
        self.name = name

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        return self._data[offset : offset + length]


class FileSlice:
    """A part of another file."""

    def __init__(self, file: RandomAccessFile, start: int, size: int) -> None:
        """Describe `size` bytes from offset `start`; raises TruncatedError if the file is shorter."""
        check_range(file, start, size)
        self.name = file.name
        self.size = size
        self._file = file
        self._start = start

    def read(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        return self._file.read(self._start + offset, length)

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill memory; see `BufferReader`."""
        check_range(self, offset, len(target))
        read_into(self._file, self._start + offset, target)

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        """Yield the same bytes of the whole file."""
        yield Span(self._file, self._start + start, self._start + stop)


class LazyFile:
    """The output of a decoder that runs at the first read."""

    def __init__(self, size: int, decode: Callable[[], bytes], name: str, sources: Iterable[Span] = ()) -> None:
        """Create a file without decoding it.

        Args:
            size: Length of the output in bytes.
            decode: Returns the output.
            name: Name of the file in messages.
            sources: The bytes of other files that `decode` reads.
        """
        self.size = size
        self.name = name
        self._decode = decode
        self._sources = tuple(sources)
        self._data: bytes | None = None

    def read(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        if self._data is None:
            data = self._decode()
            if len(data) != self.size:
                raise TruncatedError(f"{self.name}: decodes to {len(data)} bytes, but {self.size} were declared")
            self._data = data
        return self._data[offset : offset + length]

    def source_spans(self, start: int, stop: int) -> Iterable[Span]:
        """Yield all sources, since any read decodes the whole; none after that."""
        return self._sources if start < stop and self._data is None else ()


def relative_path(path: str) -> PurePosixPath:
    """Return a path that a file refers to, relative to its own folder.

    Raises:
        UnsafeFileError: The path is empty, absolute, or leads out of the folder.
    """
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or ":" in path:
        raise UnsafeFileError(f"refers to the file {path!r} outside its own folder; such paths are never followed")
    return pure


def sha256(file: RandomAccessFile) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return sha256_of_bytes(file, 0, file.size)


def sha256_of_bytes(file: RandomAccessFile, start: int, stop: int) -> str:
    """Return the SHA-256 of bytes of a file in hexadecimal; read `READ_CHUNK_BYTES` at a time."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(READ_CHUNK_BYTES, stop - start)))
    for offset in range(start, stop, READ_CHUNK_BYTES):
        piece = buffer[: stop - offset]
        read_into(file, offset, piece)
        digest.update(piece)
    return digest.hexdigest()
