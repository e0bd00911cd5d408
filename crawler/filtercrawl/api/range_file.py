"""Files that are read by byte range, wherever they lie."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self, runtime_checkable

from filtercrawl.api.errors import (
    ChangedError,
    CheckpointError,
    TruncatedError,
    UnsafeFileError,
)


class RandomAccessFile(Protocol):
    """One file of known size; `read` gives exactly the bytes asked for or raises."""

    @property
    def name(self) -> str:
        """What to call the file in a message."""
        ...

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; raises TruncatedError past the end."""
        ...


class Span(NamedTuple):
    """Bytes of a file, from start up to stop."""

    file: RandomAccessFile
    start: int
    stop: int


@runtime_checkable
class DerivedFile(Protocol):
    """A file whose bytes lie in others: a part of an archive, or what a decoder makes of it."""

    def source_spans(self, start: int, stop: int) -> Iterable[Span]:
        """Yield what is read of other files when bytes `start` to `stop` are read of this one; reads nothing."""
        ...


@runtime_checkable
class Prefetchable(Protocol):
    """A file that brings bytes in fewer and larger steps where it is told beforehand which will be read."""

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Begin to bring the bytes of these (start, stop), in any order; returns at once, and raises nothing."""
        ...


@runtime_checkable
class SequentialScan(Protocol):
    """A file that chooses how far it reads ahead of a reader that finds its way step by step."""

    def hint_seeks(self, n_seeks: int, reread: float) -> None:
        """Learn over about how many long stretches the reader will jump from here on.

        wanted: about which share of their bytes, 0 to 1, will be read all the same once the way is known.
        """
        ...


def hint_seeks(file: RandomAccessFile, n_seeks: int, reread: float) -> None:
    """Say over about how many stretches the way through a file still leads. A hint, as `want` is."""
    if isinstance(file, SequentialScan):
        file.hint_seeks(n_seeks, reread)


def prefetch(spans: Iterable[Span]) -> None:
    """Say which bytes will be read soon. A hint: every read is right without it, and slower where files are far."""
    wanted: dict[int, tuple[Prefetchable, list[tuple[int, int]]]] = {}
    for span in _source_spans(spans):
        if isinstance(span.file, Prefetchable) and span.start < span.stop:
            wanted.setdefault(id(span.file), (span.file, []))[1].append((span.start, span.stop))
    for file, ranges in wanted.values():
        file.prefetch(ranges)


def _source_spans(spans: Iterable[Span]) -> Iterator[Span]:
    """Replace spans of views by those of the files that hold the bytes."""
    for span in spans:
        if isinstance(span.file, DerivedFile):
            yield from _source_spans(span.file.source_spans(span.start, span.stop))
        else:
            yield span


def check_range(file: RandomAccessFile, offset: int, length: int) -> None:
    """Raise TruncatedError unless `length` bytes lie in `file` from `offset` on; costs no memory."""
    if offset < 0 or length < 0 or offset + length > file.size:
        message = f"{file.name}: promises bytes {offset} to {offset + length}, but has {file.size}"
        raise TruncatedError(message)


class MemoryFile:
    """Bytes in memory behind the interface of a file."""

    def __init__(self, data: bytes, name: str = "<memory>") -> None:
        self._data = data
        self.name = name

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        return self._data[offset : offset + length]


class LazyFile:
    """Bytes that a decoder makes at the first read; their number is known before. made_from: what the decoder reads."""

    def __init__(self, size: int, decode: Callable[[], bytes], name: str, made_from: Iterable[Span] = ()) -> None:
        self.size = size
        self.name = name
        self._decode = decode
        self._made_from = tuple(made_from)
        self._data: bytes | None = None

    def read(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        if self._data is None:
            data = self._decode()
            if len(data) != self.size:
                raise TruncatedError(f"{self.name}: decodes to {len(data)} bytes, promised {self.size}")
            self._data = data
        return self._data[offset : offset + length]

    def source_spans(self, start: int, stop: int) -> Iterable[Span]:
        """Whatever part is read, all is decoded; nothing any more once that is done."""
        return self._made_from if start < stop and self._data is None else ()


class LocalFile:
    """A file on this machine; counts the bytes it hands out and notices when the file changes."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self.name = name or path.name
        self.bytes_read = 0
        self._lock = threading.Lock()
        self._fd = -1  # closed, also where it cannot be opened
        try:
            self._fd = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise CheckpointError(f"{self.name}: {error.strerror or error}") from error
        status = os.fstat(self._fd)
        self.size = status.st_size
        self._stamp = file_version(status)

    def read(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        pieces = []
        try:
            while length:  # one pread returns at most 2 GiB, and may return less
                piece = os.pread(self._fd, length, offset)
                if not piece:
                    raise ChangedError(f"{self.name}: became shorter while it was read; run again")
                pieces.append(piece)
                offset += len(piece)
                length -= len(piece)
        except OSError as error:
            raise CheckpointError(f"{self.name}: {error.strerror or error}") from error
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        with self._lock:
            self.bytes_read += len(data)
        return data

    @property
    def etag(self) -> str:
        """Changes whenever the file may have changed: size, inode and times."""
        return self._stamp

    def check_unchanged(self) -> None:
        """Raise ChangedError if the file is not the one that was opened."""
        try:
            same = file_version(os.fstat(self._fd)) == self._stamp == file_version(self.path.stat())
        except OSError:
            same = False
        if not same:
            raise ChangedError(f"{self.name}: changed while it was read; run again")

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def file_version(status: os.stat_result) -> str:
    """What tells one state of a local file from another without reading it."""
    return f"{status.st_size}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_ino:x}"


def relative_path(path: str) -> PurePosixPath:
    """Check a path that a file names: relative, no way up; raises UnsafeError."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or ":" in path:
        raise UnsafeFileError(f"names the file {path!r} outside its own folder; such paths are never followed")
    return pure


_CHUNK: Final = 1024 * 1024


def sha256(file: RandomAccessFile) -> str:
    """Hash a file in pieces of 1 MiB."""
    digest = hashlib.sha256()
    for offset in range(0, file.size, _CHUNK):
        digest.update(file.read(offset, min(_CHUNK, file.size - offset)))
    return digest.hexdigest()
