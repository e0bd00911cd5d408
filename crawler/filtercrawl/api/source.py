"""What a source offers: checkpoints, their files, and what is known about them. None and () mean unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from filtercrawl.api.checkpoint import Checkpoint, Offer, PreviousState, RemoteFile
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.transport import Transport

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Query:
    """What to list.

    pattern: the part of the selector after the colon. settings: the table `[sources.NAME]`. previous_states: by the
    name under
    which the source offered it.
    """

    pattern: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    previous_states: Mapping[str, PreviousState] = field(default_factory=dict)

    def matches(self, name: str) -> bool:
        """Tell whether a name is asked for: it fits the pattern, as a shell's would, or there is no pattern."""
        return self.pattern is None or fnmatchcase(name, self.pattern.strip())


@runtime_checkable
class Source(Protocol):
    """Lists checkpoints. A listing that ends without an error is complete."""

    @property
    def name(self) -> str: ...

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]: ...


@runtime_checkable
class SupportsCanonicalPattern(Protocol):
    """A source whose patterns have several spellings; by the one spelling a later run knows what was listed."""

    def canonical(self, pattern: str) -> str: ...


def needs_pattern(source: Source) -> bool:
    """Tell whether a source can only be asked with a pattern: it says so by an attribute `needs_pattern`."""
    return bool(getattr(source, "needs_pattern", False))


@runtime_checkable
class SupportsCount(Protocol):
    """A source that can tell, without the network, how many checkpoints it offers."""

    def offers(self) -> int: ...


@runtime_checkable
class SupportsBuild(Protocol):
    """A source that can build the networks of its checkpoints."""

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        """Build the architecture on the meta device (`filtercrawl.extraction.architecture.on_meta`):
        no weights, no network.

        Code that came with the checkpoint is never run. Called in a worker with a record that was pickled: what it
        needs is in `checkpoint.meta`. Its state dict has the names and shapes of the checkpoint's file. Raises
        UnsupportedError where the architecture is not known.
        """
        ...


@runtime_checkable
class SupportsLookup(Protocol):
    """A source that builds networks and knows their records without the network."""

    def recall(self, name: str) -> Checkpoint | None:
        """Return the record of a checkpoint or of an architecture, as far as `build` needs it; None for a stranger."""
        ...


@runtime_checkable
class SupportsSampleInput(Protocol):
    """A source that builds networks which take something else than one image of the size in their configuration."""

    def sample(self, checkpoint: Checkpoint, module: nn.Module) -> tuple[Tensor, ...] | None:
        """Return the positional arguments of one call, batch 1, on the meta device; None for the image."""
        ...


@runtime_checkable
class SupportsUrlResolution(Protocol):
    """A source whose URLs expire, or are given out on demand."""

    def resolve(self, transport: Transport, file: RemoteFile) -> RemoteFile:
        """Return the file with the URL at which it can be read now.

        Called in a worker when the file is opened, never for one that need not be read. Only the URL of the answer is
        taken: size, sha256, etag and path stay as they were listed. What it raises fails this one checkpoint.
        """
        ...


@runtime_checkable
class SupportsSubfile(Protocol):
    """A source whose checkpoints lie together in one file of this machine."""

    def part(self, checkpoint: Checkpoint, file: RandomAccessFile) -> RandomAccessFile:
        """Return a file that holds what is this checkpoint's and nothing else; reads of the whole what that takes.

        Readers see it in place of the whole, and its own bytes are hashed: the same content gives the same bytes. The
        checkpoint's `file:` URL is that of the whole, with a fragment of its own. Called in a worker; closed where it
        has a `close`. Raises CheckpointError.
        """
        ...


@runtime_checkable
class Reader(Protocol):
    """Reads one file format. Content decides what a reader claims, never the file's name."""

    @property
    def name(self) -> str: ...

    def can_read(self, file: RandomAccessFile) -> bool:
        """Tell whether the bytes are of this format; reads little, raises nothing for foreign bytes."""
        ...

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        """Name the other files that this one needs, as relative paths: shards, external data."""
        ...

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor of the checkpoint, in the order of the file; raises CheckpointError."""
        ...


class Files(Protocol):
    """The files of one checkpoint: the main one, and others by their path beside it."""

    @property
    def main(self) -> RandomAccessFile: ...

    def open(self, path: str) -> RandomAccessFile:
        """Open the file at a relative POSIX path beside the main one.

        Raises UnsafeError for a path that leaves the checkpoint's folder, CheckpointError where no such file is.
        """
        ...

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        """Yield the tensors of the file at `path`, by whichever reader claims it: how an index reads its shards."""
        ...


def find_reader(readers: Iterable[Reader], file: RandomAccessFile) -> Reader | None:
    """Return the reader whose format the content is of, or None."""
    return next((reader for reader in readers if reader.can_read(file)), None)
