"""Protocols of readers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from filtercrawl.api.checkpoint import TrainingState
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_checks import checked_tensors, checked_training
from filtercrawl.api.untrusted_names import safe_name
from filtercrawl.api.vocabulary import WEIGHT_EXTENSIONS


@runtime_checkable
class Reader(Protocol):
    """Reads one file format. The content of a file decides whether a reader can read it, never its name."""

    @property
    def name(self) -> str:
        """Name of the format, as in the column `format` of `models`."""
        ...

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether the content is of this format.

        Args:
            file: Any file; a reader looks at a few bytes, and raises nothing for other content.
        """
        ...

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        """Return the other files that this one needs, such as shards and external data.

        Args:
            file: A file that `can_read` accepted.

        Returns:
            POSIX paths relative to the folder of the file.

        Raises:
            CheckpointError: The file is damaged.
        """
        ...

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor of the checkpoint, in the order of the file, without reading its numbers.

        Args:
            files: The files of the checkpoint; the main one was accepted by `can_read`.

        Raises:
            CheckpointError: The files are damaged or inconsistent.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class CheckpointContent:
    """What a reader finds in the files of a checkpoint.

    Attributes:
        tensors: Every tensor, in the order of the file.
        training: How far training was; None where the files do not state it.
        code: Full names of functions that loading the files elsewhere would run, such as `os.system`.
    """

    tensors: tuple[StoredTensor, ...]
    training: TrainingState | None = None
    code: tuple[str, ...] = ()


@runtime_checkable
class SupportsTrainingState(Protocol):
    """A reader of files that may state how far training was."""

    def read_content(self, files: Files) -> CheckpointContent:
        """Return what `Reader.tensors` yields, and the training state, from one reading of the files.

        Raises:
            CheckpointError: The files are damaged or inconsistent.
        """
        ...


@runtime_checkable
class SupportsSuffixes(Protocol):
    """A reader of files whose names have endings of their own.

    Content decides which reader reads a file. The ending decides whether a source that lists files without opening them
    offers one at all, and whether a file that no reader can read counts as failed.
    """

    @property
    def suffixes(self) -> Collection[str]:
        """Endings of file names, in lower case and with their dot: `.acme`."""
        ...


CompanionCheck: TypeAlias = Callable[[str, Sequence[StoredTensor]], bool]


@runtime_checkable
class SupportsCompanionCheck(Protocol):
    """A reader whose companion files are in formats of checkpoints, such as the shards of an index."""

    def companion_check(self, file: RandomAccessFile) -> CompanionCheck:
        """Return what tells whether a companion is a part of this checkpoint, and not a checkpoint of its own.

        The file is read once here, and not for each companion. Companions of other readers are parts only where no
        reader reads them: what a file names may be anybody's.

        Args:
            file: A file that `can_read` accepted.

        Returns:
            A function of one of the `companion_paths`, and of the tensors of that companion as its own reader yields
            them.

        Raises:
            CheckpointError: The file is damaged.
        """
        ...


class Files(Protocol):
    """The files of one checkpoint."""

    @property
    def main(self) -> RandomAccessFile:
        """The main file."""
        ...

    def open(self, path: str) -> RandomAccessFile:
        """Open another file of the checkpoint.

        Args:
            path: POSIX path relative to the folder of the main file.

        Raises:
            UnsafeFileError: The path leaves the folder of the checkpoint.
            CheckpointError: There is no such file.
        """
        ...

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        """Yield the tensors of another file, by the reader that can read it, as an index does with its shards.

        Args:
            path: POSIX path relative to the folder of the main file.

        Raises:
            CheckpointError: There is no such file, or no reader can read it.
        """
        ...


def find_reader(readers: Iterable[Reader], file: RandomAccessFile) -> Reader | None:
    """Return the first reader that can read a file, or None."""
    return next((reader for reader in readers if reader.can_read(file)), None)


def weight_suffixes(readers: Iterable[Reader]) -> frozenset[str]:
    """Return the endings of the names of weight files: the known ones, and those that readers declare."""
    declared = (reader.suffixes for reader in readers if isinstance(reader, SupportsSuffixes))
    return WEIGHT_EXTENSIONS.union(*declared)


def read_content(reader: Reader, files: Files) -> CheckpointContent:
    """Return what a reader finds in the files of a checkpoint, checked: it may be stored as it is.

    Raises:
        CheckpointError: The files are damaged, or state what the dataset cannot hold.
    """
    if isinstance(reader, SupportsTrainingState):
        found = reader.read_content(files)
    else:
        found = CheckpointContent(tensors=tuple(reader.tensors(files)))
    name = files.main.name
    return CheckpointContent(
        tensors=checked_tensors(name, found.tensors),
        training=checked_training(name, found.training),
        code=tuple(map(safe_name, found.code)),
    )
