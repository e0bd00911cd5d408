"""The files of one checkpoint, opened by their paths beside each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from filtercrawl.checkpoint import Checkpoint, Reader, RemoteFile, Resolves, Source
from filtercrawl.errors import CheckpointError, FiltercrawlError, FormatError, Stopped, UnsafeError
from filtercrawl.manager import describe
from filtercrawl.ranges import LocalFile, RangeFile, relative_path
from filtercrawl.tensor import StoredTensor
from filtercrawl.transport import OpenedFile, Transport
from filtercrawl.transport.address import shown

_CHUNK: Final = 1024 * 1024


class CheckpointFiles:
    """Opens the files of a checkpoint; implements `filtercrawl.ranges.Files`. Use as a context manager.

    source: whose files they are; it resolves their URLs where it can, each when its file is first needed. hashed:
    whether `sha256` has hashed every byte, or taken a stated sha256 at its word.
    """

    def __init__(
        self, checkpoint: Checkpoint, readers: Sequence[Reader], transport: Transport, source: Source | None = None
    ) -> None:
        self._checkpoint = checkpoint
        self._readers = readers
        self._transport = transport
        self._source = source
        self._opened: dict[str, LocalFile | OpenedFile] = {}
        self._hashed = 0
        self.hashed = True

    @property
    def main(self) -> RangeFile:
        """The file that a reader claims, opened when it is first asked for; raises CheckpointError."""
        return self._open(self._checkpoint.files[0])

    def open(self, path: str) -> RangeFile:
        """Open the file at a relative POSIX path beside the main one; raises UnsafeError or CheckpointError."""
        try:
            wanted = str(folder(self._checkpoint) / relative_path(path))
        except UnsafeError as error:
            raise UnsafeError(f"{self.main.name}: {error}") from error
        for file in self._checkpoint.files:
            if file.path == wanted:
                return self._open(file)
        raise CheckpointError(f"{self.main.name}: needs the file {path!r}, which is not beside it")

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        """Yield the tensors of the file at `path`, by whichever reader claims it."""
        file = self.open(path)
        reader = claimant(self._readers, file)
        if reader is None:
            raise FormatError(f"{file.name}: no reader claims this file")
        return reader.tensors(_Beside(self, file))

    def sha256(self) -> str:
        """Hash every file: one file's own sha256; of several, the sha256 of their `sha256  path` lines.

        The sha256 that a source states of a remote file is taken at its word: only ranges of it are fetched.
        """
        sums = []
        for file in self._checkpoint.files:
            found = self._sha256(file)
            if file.sha256 is not None and file.sha256 != found:
                raise CheckpointError(
                    f"{display(file)}: has sha256 {found[:16]}..., but {file.sha256[:16]}... is recorded"
                )
            sums.append(found)
        return self._together(sums)

    @property
    def stated_sha256(self) -> str | None:
        """What `sha256` will be, where the source states it of every file and all are remote; costs no request."""
        files = self._checkpoint.files
        if any(file.sha256 is None or file.size is None or file.url.startswith("file:") for file in files):
            return None
        return self._together([str(file.sha256) for file in files])

    def _together(self, sums: Sequence[str]) -> str:
        if len(sums) == 1:
            return sums[0]
        lines = [f"{found}  {file.path}\n" for found, file in zip(sums, self._checkpoint.files, strict=True)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def bytes_read(self) -> int:
        """Bytes that readers asked for of local files, where hashing does not count, and that came of remote ones."""
        return sum(file.bytes_read for file in self._opened.values()) - self._hashed

    @property
    def size(self) -> int:
        """Bytes of all files together; a stated size costs no request."""
        return sum(self._size(file) for file in self._checkpoint.files)

    def check_unchanged(self) -> None:
        """Raise ChangedError if a file that was read is no longer what it was."""
        for file in self._opened.values():
            file.check_unchanged()

    def _sha256(self, file: RemoteFile) -> str:
        opened = self._open(file)
        if isinstance(opened, LocalFile):
            self._hashed += opened.size
        elif file.sha256 is not None and not opened.whole:
            self.hashed = False
            return file.sha256
        else:
            opened.download()
        return sha256(opened)

    def _size(self, file: RemoteFile) -> int:
        remote = not file.url.startswith("file:")
        return file.size if remote and file.size is not None and file.url not in self._opened else self._open(file).size

    def _open(self, file: RemoteFile) -> LocalFile | OpenedFile:
        if file.url not in self._opened:
            local = file.url.startswith("file:")
            opened = LocalFile(local_path(file), display(file)) if local else self._transport.open(self._resolved(file))
            self._opened[file.url] = opened
        return self._opened[file.url]

    def _resolved(self, file: RemoteFile) -> RemoteFile:
        """The file at the address where it can be read now; nothing else of it may change."""
        source = self._source
        if source is None or not isinstance(source, Resolves):
            return file
        try:
            return replace(file, url=source.resolve(self._transport, file).url)
        except (FiltercrawlError, Stopped, MemoryError):
            raise
        except Exception as error:
            where = f"{display(file)}: the source {source.name}"
            raise CheckpointError(f"{where} cannot say where it is now: {describe(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._opened.values():
            file.close()


class _Beside:
    """A companion seen as the main file, so that its reader can work as ever."""

    def __init__(self, files: CheckpointFiles, main: RangeFile) -> None:
        self._files = files
        self.main = main

    def open(self, path: str) -> RangeFile:
        return self._files.open(path)

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        # Shards may be of any format but an index: files that name each other in a circle must end.
        raise FormatError(f"{self.main.name}: an index that names another index ({path!r})")


def claimant(readers: Iterable[Reader], file: RangeFile) -> Reader | None:
    """Return the reader whose format the content is of, or None."""
    return next((reader for reader in readers if reader.claims(file)), None)


def sha256(file: RangeFile) -> str:
    """Hash a file in pieces of 1 MiB."""
    digest = hashlib.sha256()
    for offset in range(0, file.size, _CHUNK):
        digest.update(file.read(offset, min(_CHUNK, file.size - offset)))
    return digest.hexdigest()


def folder(checkpoint: Checkpoint) -> PurePosixPath:
    """The folder of the main file, by which companions are named."""
    return PurePosixPath(checkpoint.files[0].path or checkpoint.name).parent


def local_path(file: RemoteFile) -> Path:
    """Return where a `file:` URL points."""
    return Path(unquote(urlsplit(file.url).path))


def display(file: RemoteFile) -> str:
    """What to call a file in a message."""
    return file.path or shown(file.url).rsplit("/", 1)[-1]
