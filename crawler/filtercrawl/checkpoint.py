"""What a source offers: checkpoints, their files, and what is known about them. None and () mean unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from filtercrawl.ranges import Files, RangeFile
from filtercrawl.tensor import StoredTensor
from filtercrawl.transport import Transport

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file, by URL (`file:` for this machine).

    size in bytes; sha256 in lower-case hex; etag: changes when the bytes may have changed; path: relative POSIX path
    beside the checkpoint's other files, by which an index or an ONNX graph names it.
    """

    url: str
    size: int | None = None
    sha256: str | None = None
    etag: str | None = None
    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """The training run a checkpoint belongs to: analyses take final checkpoints."""

    id: str
    step: int | None = None
    seed: int | None = None
    final: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Meta:
    """What a source knows about a checkpoint.

    task: the Hub's vocabulary. training_datasets: in order of training. license: an SPDX expression;
    license_evidence: where it was read. released: ISO 8601 date. metrics: accuracy as stated, with its evidence.
    extra: the plugin's own axes, JSON.
    """

    task: str | None = None
    training_datasets: tuple[str, ...] = ()
    visual_category: str | None = None
    architecture: str | None = None
    family: str | None = None
    tag: str | None = None
    library: str | None = None
    license: str | None = None
    license_evidence: str | None = None
    paper: str | None = None
    released: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class VisualCategory:
    """What the pictures of a training data set show, in the words of CNN Filter DB: `natural`, `medical ct`."""

    dataset: str
    category: str

    @property
    def name(self) -> str:
        return self.dataset


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One set of trained weights that a source offers.

    name: unique and stable in its source; `source/name` is the model_id for ever. revision: changes exactly when the
    bytes change; None where the source cannot tell without reading (the file's sha256 is then the revision, and its
    etag says when to look). files: the main one first. prefix: the subtree that is the model (`state_dict.teacher.`).
    """

    name: str
    revision: str | None = None
    files: tuple[RemoteFile, ...]
    prefix: str = ""
    aliases: tuple[str, ...] = ()
    meta: Meta = field(default_factory=Meta)
    run: Run | None = None


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A checkpoint that was seen and is not offered, and why: neither failed nor gone.

    revision: at which the reason was found, so that the source need not look again until it changes.
    """

    name: str
    reason: str
    revision: str | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the dataset knows of a name that the source offered or skipped before.

    revision, etag: as the source gave them. outcome, reason: what became of it. meta: what the source said of it;
    in `meta.extra` a source finds again what it needs to offer the same without asking.
    """

    revision: str | None = None
    etag: str | None = None
    outcome: str = "emitted"
    reason: str | None = None
    meta: Meta = field(default_factory=Meta)


@dataclass(frozen=True, kw_only=True)
class Query:
    """What to list.

    pattern: the part of the selector after the colon. settings: the table `[sources.NAME]`. known: by the name under
    which the source offered it.
    """

    pattern: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Known] = field(default_factory=dict)

    def wants(self, name: str) -> bool:
        """Tell whether a name is asked for: it fits the pattern, as a shell's would, or there is no pattern."""
        return self.pattern is None or fnmatchcase(name, self.pattern.strip())


Offer = Checkpoint | Skipped


@runtime_checkable
class Source(Protocol):
    """Lists checkpoints. A listing that ends without an error is complete."""

    @property
    def name(self) -> str: ...

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]: ...


@runtime_checkable
class Canonical(Protocol):
    """A source whose patterns have several spellings; by the one spelling a later run knows what was listed."""

    def canonical(self, pattern: str) -> str: ...


def needs_pattern(source: Source) -> bool:
    """Tell whether a source can only be asked with a pattern: it says so by an attribute `needs_pattern`."""
    return bool(getattr(source, "needs_pattern", False))


@runtime_checkable
class Counts(Protocol):
    """A source that can tell, without the network, how many checkpoints it offers."""

    def offers(self) -> int: ...


@runtime_checkable
class Builds(Protocol):
    """A source that can build the networks of its checkpoints."""

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        """Build the architecture on the meta device (`filtercrawl.structure.on_meta`): no weights, no network.

        Code that came with the checkpoint is never run. Called in a worker with a record that was pickled: what it
        needs is in `checkpoint.meta`. Its state dict has the names and shapes of the checkpoint's file. Raises
        UnsupportedError where the architecture is not known.
        """
        ...


@runtime_checkable
class Recalls(Protocol):
    """A source that builds networks and knows their records without the network."""

    def recall(self, name: str) -> Checkpoint | None:
        """Return the record of a checkpoint or of an architecture, as far as `build` needs it; None for a stranger."""
        ...


@runtime_checkable
class Feeds(Protocol):
    """A source that builds networks which take something else than one image of the size in their configuration."""

    def sample(self, checkpoint: Checkpoint, module: nn.Module) -> tuple[Tensor, ...] | None:
        """Return the positional arguments of one call, batch 1, on the meta device; None for the image."""
        ...


@runtime_checkable
class Resolves(Protocol):
    """A source whose URLs expire, or are given out on demand."""

    def resolve(self, transport: Transport, file: RemoteFile) -> RemoteFile:
        """Return the file with the URL at which it can be read now.

        Called in a worker when the file is opened, never for one that need not be read. Only the URL of the answer is
        taken: size, sha256, etag and path stay as they were listed. What it raises fails this one checkpoint.
        """
        ...


@runtime_checkable
class Parts(Protocol):
    """A source whose checkpoints lie together in one file of this machine."""

    def part(self, checkpoint: Checkpoint, file: RangeFile) -> RangeFile:
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

    def claims(self, file: RangeFile) -> bool:
        """Tell whether the bytes are of this format; reads little, raises nothing for foreign bytes."""
        ...

    def companions(self, file: RangeFile) -> tuple[str, ...]:
        """Name the other files that this one needs, as relative paths: shards, external data."""
        ...

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor of the checkpoint, in the order of the file; raises CheckpointError."""
        ...
