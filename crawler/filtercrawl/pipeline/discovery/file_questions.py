"""What discovery asks of the bytes of local files. Readers answer, which may hang, crash or take all memory over one.

So each question is a function of a module, and what it is about and what is replied is plain data: a process other than
that of the run can answer it. A question is given the installed readers and returns what answers it about one subject
after the other, so that what subjects have in common is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Protocol, TypeAlias, TypeVar

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile, folder
from filtercrawl.api.errors import Cancelled, CheckpointError, FormatError
from filtercrawl.api.format_names import FORMATS_WITHOUT_READER, format_name
from filtercrawl.api.local_file import LocalFile, open_listed
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.range_file import RandomAccessFile, relative_path
from filtercrawl.api.reader import CompanionCheck, Reader, SupportsCompanionCheck, find_reader, weight_suffixes
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.pipeline.discovery.companion_files import find_companion_files

Subject = TypeVar("Subject")
Reply = TypeVar("Reply")
Question: TypeAlias = Callable[[Sequence[Reader]], Callable[[Subject], Reply]]


class FileReaders(Protocol):
    """Readers that answer questions about files, here or in another process."""

    def ask(
        self,
        question: Question[Subject, Reply],
        subjects: Sequence[Subject],
        unanswered: Callable[[Subject], Reply],
    ) -> Iterator[Reply]:
        """Yield the answer about each subject.

        Args:
            question: A function of a module; its argument is the installed readers.
            subjects: What is asked about.
            unanswered: What counts as the answer where readers crash or take too much.

        Raises:
            Cancelled: The run is to end.
        """
        ...


@dataclass(frozen=True)
class ReadersHere:
    """The readers of this process.

    Attributes:
        plugins: Installed readers, imported only where a question is asked.
    """

    plugins: Plugins

    def ask(
        self,
        question: Question[Subject, Reply],
        subjects: Sequence[Subject],
        unanswered: Callable[[Subject], Reply],  # noqa: ARG002 - here they end the process
    ) -> Iterator[Reply]:
        """Yield the answer about each subject."""
        yield from map(question(self.plugins.readers), subjects)


def with_companions(readers: Sequence[Reader]) -> Callable[[tuple[Checkpoint, bool]], Checkpoint | str]:
    """Ask which files a local checkpoint names; a subject is the checkpoint, and whether an earlier run knows it."""
    return partial(_with_companions, readers)


def _with_companions(readers: Sequence[Reader], subject: tuple[Checkpoint, bool]) -> Checkpoint | str:
    """Return a local checkpoint with the files that its main file names, or what the file is if it has no weights."""
    checkpoint, is_known = subject
    main = checkpoint.files[0]
    try:
        with open_listed(main) as file:
            reader = find_reader(readers, file)
            if reader is None:
                expected = (*weight_suffixes(readers), *FORMATS_WITHOUT_READER)
                if checkpoint.named or is_known or (main.path or checkpoint.name).lower().endswith(expected):
                    return checkpoint
                return format_name(file) or "of no known format"
            paths = [str(folder(checkpoint) / relative_path(path)) for path in reader.companion_paths(file)]
            return replace(checkpoint, files=(main, *find_companion_files(checkpoint, paths)))
    except Cancelled:
        raise
    except Exception:  # noqa: BLE001 - crawling the checkpoint will say what is wrong with it
        return checkpoint


def is_readable(readers: Sequence[Reader]) -> Callable[[Checkpoint], bool]:
    """Ask whether a reader reads the tensors of a local checkpoint without an error."""
    return partial(_is_readable, readers)


def _is_readable(readers: Sequence[Reader], checkpoint: Checkpoint) -> bool:
    with ExitStack() as opened:
        return _tensors_of(readers, checkpoint, opened) is not None


class PartCheck:
    """Ask whether a file named as a shard holds what the index says, or cannot be read.

    A subject is the checkpoint with the index, the file among its files, and the checkpoint that the file would be. The
    index of subjects in a row is read once.

    Args:
        readers: Installed readers.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = readers
        self._index: RemoteFile | None = None
        self._check: CompanionCheck | None = None

    def __call__(self, subject: tuple[Checkpoint, RemoteFile, Checkpoint]) -> bool:
        """Return the answer about one file."""
        checkpoint, file, alone = subject
        with ExitStack() as opened:
            tensors = _tensors_of(self._readers, alone, opened)
            if tensors is None:
                return True
            try:
                path = str(PurePosixPath(file.path or "").relative_to(folder(checkpoint)))
                check = self._check_of(checkpoint.files[0])
                return check is not None and check(path, tensors)
            except Cancelled:
                raise
            except Exception:  # noqa: BLE001 - a plugin's reader may raise anything
                return False

    def _check_of(self, index: RemoteFile) -> CompanionCheck | None:
        if index != self._index:
            self._index, self._check = index, None
            with open_listed(index) as file:
                reader: object = find_reader(self._readers, file)
                if isinstance(reader, SupportsCompanionCheck):
                    self._check = reader.companion_check(file)
        return self._check


def _tensors_of(
    readers: Sequence[Reader], checkpoint: Checkpoint, opened: ExitStack
) -> tuple[StoredTensor, ...] | None:
    """Return the tensors of a checkpoint; None if no reader reads it without an error."""
    try:
        files = _LocalFiles(checkpoint, readers, opened)
        reader = find_reader(readers, files.main)
        return None if reader is None else tuple(reader.tensors(files))
    except Cancelled:
        raise
    except Exception:  # noqa: BLE001 - crawling the checkpoint will say what is wrong with it
        return None


class _LocalFiles:
    """The files of a local checkpoint, as its reader sees them."""

    def __init__(
        self, checkpoint: Checkpoint, readers: Sequence[Reader], opened: ExitStack, main: RemoteFile | None = None
    ) -> None:
        self._checkpoint = checkpoint
        self._readers = readers
        self._opened = opened
        self._by_path = {file.path: file for file in reversed(checkpoint.files)}
        self.main: RandomAccessFile = self._open(main or checkpoint.files[0])

    def open(self, path: str) -> RandomAccessFile:
        return self._open(self._find(path))

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        # Without readers: an index names no index.
        shard = _LocalFiles(self._checkpoint, (), self._opened, self._find(path))
        reader = find_reader(self._readers, shard.main)
        if reader is None:
            raise FormatError(f"{path}: no reader claims it")
        return reader.tensors(shard)

    def _find(self, path: str) -> RemoteFile:
        wanted = str(folder(self._checkpoint) / relative_path(path))
        found = self._by_path.get(wanted)
        if found is None:
            raise CheckpointError(f"{path}: no such file")
        return found

    def _open(self, file: RemoteFile) -> LocalFile:
        return self._opened.enter_context(open_listed(file))
