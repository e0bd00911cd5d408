"""Protocols of sources."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from filtercrawl.api.checkpoint import Checkpoint, Offer, PreviousState, RemoteFile
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.transport import Transport
from filtercrawl.api.vocabulary import WEIGHT_EXTENSIONS

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a source is asked to list.

    Attributes:
        pattern: The part of the selector after the colon; None for everything.
        settings: The table `[sources.NAME]` of the settings.
        previous_states: What the dataset knows of checkpoints that the source offered before, by the name it gave them.
        weight_suffixes: Returns the endings of the names of weight files that installed readers read, in lower case.
        dry_run: Whether nothing that is offered will be read. Where the network cannot be reached, a source may then
            offer what it knows without it.
    """

    pattern: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    previous_states: Mapping[str, PreviousState] = field(default_factory=dict)
    weight_suffixes: Callable[[], Collection[str]] = lambda: WEIGHT_EXTENSIONS
    dry_run: bool = False

    def is_weight_file(self, path: str) -> bool:
        """Return whether a path ends as those of weight files do that an installed reader reads."""
        return path.lower().endswith(tuple(self.weight_suffixes()))

    def matches(self, name: str) -> bool:
        """Return whether a name matches the pattern.

        Args:
            name: A name that the source offers. Patterns have shell-style wildcards and are case-sensitive; without a
                pattern every name matches.
        """
        return self.pattern is None or fnmatchcase(name, self.pattern.strip())


@runtime_checkable
class Source(Protocol):
    """Lists checkpoints.

    With `--engine ray` everything but listing is called in other processes, where `checkpoints` was not: what other
    methods need must be in their arguments.
    """

    @property
    def name(self) -> str:
        """Name of the source: lower-case letters, digits and hyphens."""
        ...

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:
        """List the checkpoints that a query asks for.

        A listing that ends without an error is complete: checkpoints that it offered before and no longer offers count
        as removed. In doubt, raise.

        Args:
            transport: Network access; a source opens no connection of its own.
            query: What to list.

        Yields:
            Checkpoints, and `Skipped` for those that exist and are not offered.

        Raises:
            NetworkError: The listing could not be completed.
            UsageError: The pattern or a setting is wrong.
        """
        ...


@runtime_checkable
class SupportsCanonicalPattern(Protocol):
    """A source whose patterns can be spelled in several ways."""

    def canonical(self, pattern: str) -> str:
        """Return the one spelling by which a later run recognizes what was listed.

        Args:
            pattern: The pattern as the user wrote it.

        Returns:
            The same text for all spellings that list the same checkpoints.

        Raises:
            UsageError: The pattern is wrong.
        """
        ...


def needs_pattern(source: Source) -> bool:
    """Return whether a source requires a pattern, which it states by an attribute `needs_pattern`."""
    return bool(getattr(source, "needs_pattern", False))


def unavailable(source: Source) -> str | None:
    """Return why a source cannot be used here, which it states by an attribute `unavailable`; None if it can."""
    reason = getattr(source, "unavailable", None)
    return None if reason is None else str(reason)


@runtime_checkable
class SupportsCount(Protocol):
    """A source that knows, without the network, how many checkpoints it offers."""

    def offers(self) -> int:
        """Return the number of checkpoints."""
        ...


@runtime_checkable
class SupportsBuild(Protocol):
    """A source that can build the networks of its checkpoints."""

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        """Build the architecture on the meta device, without weights and without the network.

        `filtercrawl.extraction.architecture.on_meta` helps. Code that came with the checkpoint must never be run.

        Args:
            checkpoint: A record that was pickled: everything needed must be in `checkpoint.meta`.

        Returns:
            A module whose state dict has the names and shapes of the checkpoint's file.

        Raises:
            UnsupportedError: The architecture is unknown.
        """
        ...


@runtime_checkable
class SupportsLookup(Protocol):
    """A source that builds networks and knows their records without network access."""

    def recall(self, name: str) -> Checkpoint | None:
        """Return the record of a checkpoint or an architecture, as far as `build` needs it.

        Args:
            name: What a selector has after the colon, for example `resnet18.a1_in1k` or `resnet18`.

        Returns:
            The record; None if the name is unknown.
        """
        ...


@runtime_checkable
class SupportsSampleInput(Protocol):
    """A source that builds networks whose input is not one image of the configured size."""

    def sample(
        self, checkpoint: Checkpoint, module: nn.Module
    ) -> tuple[Any, ...] | Sequence[Mapping[str, Mapping[str, Any]]] | None:
        """Return what the network is called with, batch size 1, on the meta device; None for the image.

        Tensors whose numbers matter, such as token ids and sizes of images, may be on the CPU. Other objects, such as a
        session of a library, are copied for each call that is tried.

        Args:
            checkpoint: The record that `build` received.
            module: The network that `build` returned, on the meta device.

        Returns:
            The positional arguments of one call; or a list of calls, of which the first that runs is taken. Each maps
            the path of a module, or of a method of one, to its keyword arguments; an empty path is the network itself.
            Several paths are called one after the other, for networks whose convolutions all lie in parts with inputs
            of their own, or that are set up by a method.
        """
        ...


@runtime_checkable
class SupportsUrlResolution(Protocol):
    """A source whose URLs expire or are issued on demand."""

    def resolve(self, transport: Transport, file: RemoteFile) -> RemoteFile:
        """Return the file with a URL that can be read now.

        Called in a worker when the file is opened, never for a file that need not be read. Only the URL of the result
        is used: size, sha256, etag and path stay as they were listed. An exception fails this checkpoint only.

        Args:
            transport: Network access.
            file: The file as it was listed.
        """
        ...


@runtime_checkable
class SupportsSettings(Protocol):
    """A source that states which keys of its table `[sources.NAME]` in `filtercrawl.toml` it reads.

    Any other key is an error before a run begins. A source without this attribute receives its table unchecked.
    """

    @property
    def setting_names(self) -> Collection[str]:
        """Keys that `Query.settings` may have; empty for a source without settings."""
        ...


@runtime_checkable
class SupportsSubfile(Protocol):
    """A source with several checkpoints in one local file."""

    def part(self, checkpoint: Checkpoint, file: RandomAccessFile) -> RandomAccessFile:
        """Return a file with the content of one checkpoint only.

        Readers see it in place of the whole file, and its bytes are hashed: the same content must give the same bytes.
        Called in a worker. The result is closed if it has a method `close`.

        Args:
            checkpoint: Its `file:` URL is that of the whole file, with a fragment of its own.
            file: The whole file; only the bytes needed should be read.

        Raises:
            CheckpointError: The file does not hold the checkpoint.
        """
        ...
