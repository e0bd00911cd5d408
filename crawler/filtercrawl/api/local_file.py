"""Files on this machine, which others may change, swap or cut while they are read."""

from __future__ import annotations

import os
import stat
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from filtercrawl.api.checkpoint import RemoteFile, local_path
from filtercrawl.api.errors import ChangedError, CheckpointError, UnsafeFileError
from filtercrawl.api.hub_cache import may_link_to
from filtercrawl.api.range_file import check_range


class _ByteSet:
    """Positions of bytes, as sorted ranges that do not touch; `size` is their number."""

    def __init__(self) -> None:
        self.size = 0
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        """Add the bytes from `start` to `stop`, exclusive."""
        first, last = bisect_left(self._stops, start), bisect_right(self._starts, stop)
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
            self.size -= sum(self._stops[first:last]) - sum(self._starts[first:last])
        self.size += stop - start
        self._starts[first:last], self._stops[first:last] = [start], [stop]


class LocalFile:
    """A regular file on this machine; counts the bytes read and detects changes.

    Opening it never waits: whatever was a file when its folder was listed may be a pipe now.

    Attributes:
        path: Path of the file.
        name: Name of the file in messages.
        size: Length in bytes when it was opened.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self.name = name or path.name
        self._read = _ByteSet()
        self._counts = True
        self._lock = threading.Lock()
        self._fd = -1  # so that `close` works on a file that could not be opened
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            status = os.fstat(self._fd)
        except (OSError, ValueError) as error:  # a name with a NUL or a surrogate
            raise CheckpointError(f"{self.name}: {getattr(error, 'strerror', None) or error}") from error
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise CheckpointError(f"{self.name}: is no file but a folder, a pipe or a device")
        self.size = status.st_size
        self._identity = status.st_dev, status.st_ino
        self._version = file_version(status)

    @property
    def bytes_read(self) -> int:
        """Bytes read so far, each counted once however often it was read."""
        return self._read.size

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Do not count what is read while the block runs."""
        before, self._counts = self._counts, False
        try:
            yield
        finally:
            self._counts = before

    def read(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        start, stop, chunks = offset, offset + length, []
        try:
            while length:  # one pread returns at most 2 GiB, and may return less
                chunk = os.pread(self._fd, length, offset)
                if not chunk:
                    raise ChangedError(f"{self.name}: was truncated while it was read; run again")
                chunks.append(chunk)
                offset += len(chunk)
                length -= len(chunk)
        except OSError as error:
            raise CheckpointError(f"{self.name}: {error.strerror or error}") from error
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._count(start, stop)
        return data

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill memory; see `BufferReader`."""
        check_range(self, offset, len(target))
        filled = 0
        try:
            while filled < len(target):
                read = os.preadv(self._fd, [target[filled:]], offset + filled)
                if not read:
                    raise ChangedError(f"{self.name}: was truncated while it was read; run again")
                filled += read
        except OSError as error:
            raise CheckpointError(f"{self.name}: {error.strerror or error}") from error
        self._count(offset, offset + filled)

    def _count(self, start: int, stop: int) -> None:
        if self._counts and start < stop:
            with self._lock:
                self._read.add(start, stop)

    @property
    def etag(self) -> str:
        """Version of the file when it was opened; see `file_version`."""
        return self._version

    def lies_in(self, root: Path) -> bool:
        """Return whether the file that was opened is where links from a folder may lead; see `may_link_to`."""
        try:
            real = Path(os.path.realpath(self.path))
            found, folder = real.lstat(), Path(os.path.realpath(root))
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity and may_link_to(folder, real)

    def check_unchanged(self) -> None:
        """Raise ChangedError if the file is not the one that was opened."""
        try:
            same = file_version(os.fstat(self._fd)) == self._version == file_version(self.path.stat())
        except OSError:
            same = False
        if not same:
            raise ChangedError(f"{self.name}: changed while it was read; run again")

    def close(self) -> None:
        """Close the file; reading it afterwards fails."""
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


def open_listed(file: RemoteFile, name: str | None = None) -> LocalFile:
    """Open a file of a listing.

    Its source decides which links are followed. Where another file is there now, it has to be below the folder that
    was listed: else a link that is put in its place would lead anywhere.

    Args:
        file: A `file:` URL, with the etag of `file_version` if its source states one.
        name: Name of the file in messages; that of its path where None.

    Raises:
        CheckpointError: It cannot be opened.
        UnsafeFileError: It was replaced by a link that leaves its folder.
    """
    path = local_path(file)
    opened = LocalFile(path, name)
    if file.etag not in (None, opened.etag) and not opened.lies_in(listed_folder(file, path)):
        opened.close()
        raise UnsafeFileError(
            f"{opened.name}: was replaced by a link that leaves its folder; such links are never followed"
        )
    return opened


def listed_folder(file: RemoteFile, path: Path) -> Path:
    """Return the folder that the path of a local file, as its listing states it, is relative to."""
    return Path(*path.parts[: -len(PurePosixPath(file.path or path.name).parts)])


def file_version(status: os.stat_result) -> str:
    """Return a text that changes whenever a local file may have changed: its size, times and inode."""
    return f"{status.st_size}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_ino:x}"
