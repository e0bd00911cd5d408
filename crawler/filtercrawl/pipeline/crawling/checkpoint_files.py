"""The files of one checkpoint, opened by their paths beside each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile, _is_local, folder, local_path
from filtercrawl.api.errors import (
    Cancelled,
    CheckpointError,
    FiltercrawlError,
    FormatError,
    UnsafeFileError,
    describe_error,
)
from filtercrawl.api.range_file import LocalFile, RandomAccessFile, Span, prefetch, relative_path, sha256
from filtercrawl.api.source import Reader, Source, SupportsSubfile, SupportsUrlResolution, find_reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.config.urls import redact_url
from filtercrawl.transport import MeasuredTransport, OpenedFile
from filtercrawl.transport.link_model import LinkEstimate


class CheckpointFiles:
    """Opens the files of a checkpoint; implements `filtercrawl.api.source.Files`. Use as a context manager.

    source: whose files they are; it resolves their URLs where it can, each when its file is first needed.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        readers: Sequence[Reader],
        transport: MeasuredTransport,
        source: Source | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._readers = readers
        self._transport = transport
        self._source = source
        self._opened: dict[str, LocalFile | OpenedFile] = {}
        self._parts: dict[str, RandomAccessFile] = {}
        self._sums: dict[str, str] = {}
        self._hashed = 0

    @property
    def main(self) -> RandomAccessFile:
        """The file that a reader claims, opened when it is first asked for; raises CheckpointError."""
        return self._reader_view(self._checkpoint.files[0])

    def open(self, path: str) -> RandomAccessFile:
        """Open the file at a relative POSIX path beside the main one; raises UnsafeError or CheckpointError."""
        try:
            wanted = str(folder(self._checkpoint) / relative_path(path))
        except UnsafeFileError as error:
            raise UnsafeFileError(f"{self.main.name}: {error}") from error
        for file in self._checkpoint.files:
            if file.path == wanted:
                return self._reader_view(file)
        raise CheckpointError(f"{self.main.name}: needs the file {path!r}, which is not beside it")

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        """Yield the tensors of the file at `path`, by whichever reader claims it."""
        file = self.open(path)
        reader = find_reader(self._readers, file)
        if reader is None:
            raise FormatError(f"{file.name}: no reader claims this file")
        return reader.tensors(_CompanionView(self, file))

    @property
    def local(self) -> bool:
        """Whether all files lie on this machine."""
        return all(_is_local(file) for file in self._checkpoint.files)

    def sha256(self) -> str | None:
        """One file's own sha256; of several, the sha256 of their `sha256  path` lines; None where nobody knows.

        Files of this machine, and remote ones that are fetched whole, are hashed, and must have the sha256 that is
        stated of them: raises CheckpointError. Of others the one is taken that their source or their server states.
        """
        return self._combine_hashes([self._sha256(file) for file in self._checkpoint.files])

    @property
    def stated_sha256(self) -> str | None:
        """What `sha256` will be, where the source states it of every file and all are remote; costs no request."""
        files = self._checkpoint.files
        if any(file.size is None or _is_local(file) for file in files):
            return None
        return self._combine_hashes([file.sha256 for file in files])

    @property
    def verification_level(self) -> str:
        """What the bytes that were read were held against: a stated sha256, an etag, their number, or nothing."""
        files = self._checkpoint.files
        if all(file.url in self._sums and self._stated(file) is not None for file in files):
            return "sha256"
        opened = [self._opened[file.url] for file in files if file.url in self._opened]
        if all(file.etag is not None if isinstance(file, LocalFile) else file.validated for file in opened):
            return "etag"
        return "size" if all(file.size is not None for file in files) else "none"

    @property
    def version(self) -> str | None:
        """What the server calls this version of the one file that the checkpoint is; None where it does not say."""
        opened = self._opened.get(self._checkpoint.files[0].url)
        return None if opened is None or isinstance(opened, LocalFile) or len(self._opened) > 1 else opened.version

    def _combine_hashes(self, sums: Sequence[str | None]) -> str | None:
        if len(sums) == 1 or None in sums:
            return sums[0] if len(sums) == 1 else None
        lines = [f"{found}  {file.path}\n" for found, file in zip(sums, self._checkpoint.files, strict=True)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def bytes_read(self) -> int:
        """Bytes that readers asked for of local files, where hashing does not count, and that came of remote ones."""
        return sum(file.bytes_read for file in self._opened.values()) - self._hashed

    @property
    def requests(self) -> int:
        """Requests that were sent for the files."""
        return sum(file.requests for file in self._opened.values() if not isinstance(file, LocalFile))

    @property
    def fetched_in_full(self) -> bool:
        """Whether every file was fetched whole."""
        opened = self._opened
        files = [opened.get(file.url) for file in self._checkpoint.files]
        return all(file is not None and not isinstance(file, LocalFile) and file.fetched_in_full for file in files)

    @property
    def size(self) -> int:
        """Bytes of all files together; a stated size costs no request."""
        return sum(self._size(file) for file in self._checkpoint.files)

    @property
    def link(self) -> LinkEstimate:
        """What asking for the main file's bytes was measured to cost."""
        return self._transport.link(self._checkpoint.files[0].url)

    def fetch_whole(self) -> None:
        """Begin to bring every byte, where the length of the files is known."""
        prefetch(Span(self._open(file), 0, file.size) for file in self._checkpoint.files if file.size is not None)

    def verify_sha256(self) -> None:
        """Fetch every byte and hash it; raises CheckpointError where a file has not the sha256 that is stated of it."""
        prefetch(Span(self._open(file), 0, self._size(file)) for file in self._checkpoint.files)
        self.sha256()

    def check_unchanged(self) -> None:
        """Raise ChangedError if a file that was read is no longer what it was."""
        for file in self._opened.values():
            file.check_unchanged()

    def _sha256(self, file: RemoteFile) -> str | None:
        opened = self._open(file) if _is_local(file) else self._opened.get(file.url)
        if file.url not in self._sums:
            if opened is None or not (isinstance(opened, LocalFile) or opened.fetched_in_full):
                return self._stated(file)
            before = opened.bytes_read
            self._sums[file.url] = sha256(self._reader_view(file))
            if isinstance(opened, LocalFile):
                self._hashed += opened.bytes_read - before
        found, stated = self._sums[file.url], self._stated(file)
        if stated not in (None, found):
            raise CheckpointError(f"{display_name(file)}: has sha256 {found[:16]}..., but {stated[:16]}... is recorded")
        return found

    def _stated(self, file: RemoteFile) -> str | None:
        opened = self._opened.get(file.url)
        return file.sha256 if opened is None or isinstance(opened, LocalFile) else opened.sha256

    def _size(self, file: RemoteFile) -> int:
        stated = None if _is_local(file) or file.url in self._opened else file.size
        return self._reader_view(file).size if stated is None else stated

    def _open(self, file: RemoteFile) -> LocalFile | OpenedFile:
        if file.url not in self._opened:
            self._opened[file.url] = (
                LocalFile(local_path(file), display_name(file))
                if _is_local(file)
                else self._transport.open(self._resolved(file), file.url)
            )
        return self._opened[file.url]

    def _reader_view(self, file: RemoteFile) -> RandomAccessFile:
        """The file as readers see it: of one that holds many checkpoints, the part that is this one."""
        opened, source = self._open(file), self._source
        if source is None or not isinstance(source, SupportsSubfile):
            return opened
        if file.url not in self._parts:
            try:
                self._parts[file.url] = source.part(self._checkpoint, opened)
            except (FiltercrawlError, Cancelled, MemoryError):
                raise
            except Exception as error:
                where = f"{display_name(file)}: the source {source.name}"
                raise CheckpointError(f"{where} cannot take it apart: {describe_error(error)}") from error
        return self._parts[file.url]

    def _resolved(self, file: RemoteFile) -> RemoteFile:
        """The file at the address where it can be read now; nothing else of it may change."""
        source = self._source
        if source is None or not isinstance(source, SupportsUrlResolution):
            return file
        try:
            return replace(file, url=source.resolve(self._transport, file).url)
        except (FiltercrawlError, Cancelled, MemoryError):
            raise
        except Exception as error:
            where = f"{display_name(file)}: the source {source.name}"
            raise CheckpointError(f"{where} cannot say where it is now: {describe_error(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in self._parts.values():
            if callable(close := getattr(part, "close", None)):
                close()
        for file in self._opened.values():
            file.close()


class _CompanionView:
    """A companion seen as the main file, so that its reader can work as ever."""

    def __init__(self, files: CheckpointFiles, main: RandomAccessFile) -> None:
        self._files = files
        self.main = main

    def open(self, path: str) -> RandomAccessFile:
        return self._files.open(path)

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        # Shards may be of any format but an index: files that name each other in a circle must end.
        raise FormatError(f"{self.main.name}: an index that names another index ({path!r})")


def display_name(file: RemoteFile) -> str:
    """What to call a file in a message."""
    return file.path or redact_url(file.url).rsplit("/", 1)[-1]
