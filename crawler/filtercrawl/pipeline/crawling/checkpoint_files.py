"""Open and verify the files of one checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile, folder, is_local
from filtercrawl.api.errors import (
    Cancelled,
    CheckpointError,
    FiltercrawlError,
    FormatError,
    UnsafeFileError,
    describe_error,
)
from filtercrawl.api.format_names import format_name
from filtercrawl.api.formatting import shorten
from filtercrawl.api.local_file import LocalFile, open_listed
from filtercrawl.api.range_file import RandomAccessFile, Span, prefetch, relative_path, sha256
from filtercrawl.api.reader import Reader, find_reader
from filtercrawl.api.source import Source, SupportsSubfile, SupportsUrlResolution
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.config.urls import redact_url
from filtercrawl.transport import MeasuredTransport, OpenedFile
from filtercrawl.transport.link_estimate import LinkEstimate

# Characters of the path of a missing file, which may be of any length, as in messages.
_MAX_PATH: Final = 200


class CheckpointFiles:
    """Files of a checkpoint, each opened when it is first needed; use as a context manager.

    Implements `filtercrawl.api.reader.Files`.

    Args:
        checkpoint: The checkpoint.
        readers: Readers, for files that name other files.
        transport: Network access.
        source: Source of the checkpoint; resolves the URLs of its files if it can.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        readers: Sequence[Reader],
        transport: MeasuredTransport,
        source: Source | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._by_path = {file.path: file for file in reversed(checkpoint.files)}
        self._readers = readers
        self._transport = transport
        self._source = source
        self._source_name = source.name if source is not None else ""
        self._divider: SupportsSubfile | None = source if isinstance(source, SupportsSubfile) else None
        self._opened: dict[str, LocalFile | OpenedFile] = {}
        self._parts: dict[str, RandomAccessFile] = {}
        self._sums: dict[str, str] = {}

    @property
    def main(self) -> RandomAccessFile:
        """The main file, which a reader is found for.

        Raises:
            CheckpointError: It cannot be opened.
        """
        return self._reader_view(self._checkpoint.files[0])

    def open(self, path: str) -> RandomAccessFile:
        """Open a companion file.

        Args:
            path: POSIX path relative to the folder of the main file.

        Raises:
            UnsafeFileError: The path leads out of the checkpoint.
            CheckpointError: The checkpoint has no such file.
        """
        try:
            wanted = str(folder(self._checkpoint) / relative_path(path))
        except UnsafeFileError as error:
            raise UnsafeFileError(f"{self.main.name}: {error}") from error
        file = self._by_path.get(wanted)
        if file is None:
            what = shorten(path, _MAX_PATH)
            raise CheckpointError(f"{self.main.name}: needs the file {what!r}, which is not beside it")
        return self._reader_view(file)

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        """Yield the tensors of a companion file, read by the reader that recognizes it."""
        file = self.open(path)
        return self._reader_of(file).tensors(_CompanionView(self, file))

    def reader(self) -> Reader:
        """Return the reader that recognizes the main file.

        Raises:
            FormatError: No reader does.
        """
        return self._reader_of(self.main)

    def _reader_of(self, file: RandomAccessFile) -> Reader:
        reader = find_reader(self._readers, file)
        if reader is None:
            what = format_name(file) or "of no known format"
            raise FormatError(f"{file.name}: the file is {what}; no reader claims it")
        return reader

    @property
    def local(self) -> bool:
        """Whether all files are on this machine."""
        return all(is_local(file) for file in self._checkpoint.files)

    def sha256(self) -> str | None:
        """Return the SHA-256 of the files: of a single file its own, of several that of their `sha256  path` lines.

        Local files and files that were fetched in full are hashed and compared with the declared hash. For others the
        hash is returned that their source or their server declares.

        Returns:
            The hash in hex, None if it is not known.

        Raises:
            CheckpointError: A file does not have the hash that is declared for it.
        """
        return self._combine_hashes([self._sha256(file) for file in self._checkpoint.files])

    @property
    def stated_sha256(self) -> str | None:
        """What `sha256` will return, if the source declares hash and size of every file and all are remote."""
        files = self._checkpoint.files
        if any(file.size is None or is_local(file) for file in files):
            return None
        return self._combine_hashes([file.sha256 for file in files])

    @property
    def verification_level(self) -> str:
        """What the bytes that were read were checked against: `sha256`, `etag`, `size` or `none`."""
        files = self._checkpoint.files
        if all(file.url in self._sums and self._stated(file) is not None for file in files):
            return "sha256"
        opened = [self._opened[file.url] for file in files if file.url in self._opened]
        if all(file.etag is not None if isinstance(file, LocalFile) else file.validated for file in opened):
            return "etag"
        return "size" if all(file.size is not None for file in files) else "none"

    @property
    def version(self) -> str | None:
        """The server's version of the file, such as its ETag; None if there is none or the files are several."""
        opened = self._opened.get(self._checkpoint.files[0].url)
        return None if opened is None or isinstance(opened, LocalFile) or len(self._opened) > 1 else opened.version

    def _combine_hashes(self, sums: Sequence[str | None]) -> str | None:
        if len(sums) == 1 or None in sums:
            return sums[0] if len(sums) == 1 else None
        lines = [f"{found}  {file.path}\n" for found, file in zip(sums, self._checkpoint.files, strict=True)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def bytes_read(self) -> int:
        """Bytes read of local files, each once and without hashing, and bytes fetched of remote ones."""
        return sum(file.bytes_read for file in self._opened.values())

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Do not count what is read of local files while the block runs, as hashing does not count."""
        with ExitStack() as stack:
            for file in self._opened.values():
                if isinstance(file, LocalFile):
                    stack.enter_context(file.uncounted())
            yield

    @property
    def requests(self) -> int:
        """Requests that were sent for the files."""
        return sum(file.requests for file in self._opened.values() if not isinstance(file, LocalFile))

    @property
    def fetched_in_full(self) -> bool:
        """Whether every file was fetched in full."""
        opened = self._opened
        files = [opened.get(file.url) for file in self._checkpoint.files]
        return all(file is not None and not isinstance(file, LocalFile) and file.fetched_in_full for file in files)

    @property
    def size(self) -> int:
        """Size of all files; costs a request only for a file whose size is not declared."""
        return sum(self._size(file) for file in self._checkpoint.files)

    @property
    def link(self) -> LinkEstimate:
        """Measured latency and bandwidth of the main file's host."""
        return self._transport.link(self._checkpoint.files[0].url)

    def fetch_whole(self) -> None:
        """Begin to fetch every file of known size in full, in the background."""
        prefetch(Span(self._open(file), 0, file.size) for file in self._checkpoint.files if file.size is not None)

    def verify_sha256(self) -> None:
        """Fetch every file in full and hash it.

        Raises:
            CheckpointError: A file does not have the hash that is declared for it.
        """
        prefetch(Span(self._open(file), 0, self._size(file)) for file in self._checkpoint.files)
        self.sha256()

    def check_unchanged(self) -> None:
        """Check that the files did not change while they were read.

        Raises:
            ChangedError: A file changed.
        """
        for file in self._opened.values():
            file.check_unchanged()

    def _sha256(self, file: RemoteFile) -> str | None:
        opened = self._open(file) if is_local(file) else self._opened.get(file.url)
        if file.url not in self._sums:
            if opened is None or not (isinstance(opened, LocalFile) or opened.fetched_in_full):
                return self._stated(file)
            with self.uncounted():
                self._sums[file.url] = sha256(self._reader_view(file))
        found, stated = self._sums[file.url], self._stated(file)
        if stated not in (None, found):
            raise CheckpointError(f"{display_name(file)}: has sha256 {found[:16]}..., but {stated[:16]}... is recorded")
        return found

    def _stated(self, file: RemoteFile) -> str | None:
        opened = self._opened.get(file.url)
        return file.sha256 if opened is None or isinstance(opened, LocalFile) else opened.sha256

    def _size(self, file: RemoteFile) -> int:
        stated = None if is_local(file) or file.url in self._opened else file.size
        return self._reader_view(file).size if stated is None else stated

    def _open(self, file: RemoteFile) -> LocalFile | OpenedFile:
        if file.url not in self._opened:
            self._opened[file.url] = (
                open_listed(file, display_name(file))
                if is_local(file)
                else self._transport.open(self._resolved(file), file.url)
            )
        return self._opened[file.url]

    def _reader_view(self, file: RemoteFile) -> RandomAccessFile:
        """Return a file as readers see it: of a file with many checkpoints, the part of this one."""
        opened, divider = self._open(file), self._divider
        if divider is None:
            return opened
        if file.url not in self._parts:
            try:
                self._parts[file.url] = divider.part(self._checkpoint, opened)
            except (FiltercrawlError, Cancelled, MemoryError):
                raise
            except Exception as error:
                where = f"{display_name(file)}: the source {self._source_name}"
                raise CheckpointError(f"{where} cannot take it apart: {describe_error(error)}") from error
        return self._parts[file.url]

    def _resolved(self, file: RemoteFile) -> RemoteFile:
        """Return the file with the URL at which it can be read now."""
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
    """A companion file shown to its reader as the main file."""

    def __init__(self, files: CheckpointFiles, main: RandomAccessFile) -> None:
        self._files = files
        self.main = main

    def open(self, path: str) -> RandomAccessFile:
        return self._files.open(path)

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        # A shard may have any format but that of an index: files that name each other must not recurse.
        raise FormatError(f"{self.main.name}: an index that names another index ({path!r})")


def display_name(file: RemoteFile) -> str:
    """Return the name of a file for messages."""
    return file.path or redact_url(file.url).rsplit("/", 1)[-1]
