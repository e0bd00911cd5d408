"""Read one checkpoint: claim, hash, extract, write its layers out of sight. Runs in a worker and touches no catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from filtercrawl.checkpoint import Checkpoint, Reader, Source
from filtercrawl.errors import CheckpointError, FiltercrawlError, FormatError, Stopped
from filtercrawl.extract import Extracted, extract
from filtercrawl.files import CheckpointFiles, claimant
from filtercrawl.manager import describe
from filtercrawl.plan import Todo
from filtercrawl.shard import Shard, Workshop, write
from filtercrawl.structure import apply, structure_of
from filtercrawl.tensor import StoredTensor
from filtercrawl.transport import Transport

# (file sha256, prefix, kernel policy): what two checkpoints have in common whose layers must be the same.
ContentKey = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Crew:
    """What a worker needs. by_file: the model_id of every content that is known."""

    sources: Mapping[str, Source]
    readers: tuple[Reader, ...]
    workshop: Workshop
    transport: Transport
    by_file: Mapping[ContentKey, str]


@dataclass(frozen=True, kw_only=True)
class Crawled:
    """What came of one checkpoint. Exactly one of reason (it failed), same_as (known content) and extracted is set.

    hashed: whether every byte went through file_sha256, or that is what the source states. note: why the structure of
    the network is not known, where its source should know it.
    """

    todo: Todo
    format: str | None = None
    file_sha256: str | None = None
    file_bytes: int | None = None
    hashed: bool = False
    note: str | None = None
    bytes_fetched: int = 0
    reason: str | None = None
    same_as: str | None = None
    extracted: Extracted | None = None
    shard: Shard | None = None


def crawl(todo: Todo, crew: Crew) -> Crawled:
    """Read one checkpoint; whatever is wrong with it becomes its reason. Raises Stopped."""
    try:
        crew.workshop.pause()
        return read(todo, crew)
    except FiltercrawlError as error:
        return Crawled(todo=todo, reason=one_line(str(error)))
    except (Stopped, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - a reader's mistake costs one checkpoint, never the run
        return Crawled(todo=todo, reason=one_line(f"unexpected {describe(error)}; please report this as a bug"))


def read(todo: Todo, crew: Crew) -> Crawled:
    checkpoint = todo.checkpoint
    source = crew.sources.get(todo.source)
    with CheckpointFiles(checkpoint, crew.readers, crew.transport, source) as files:
        stated = files.stated_sha256
        twin = crew.by_file.get((stated, checkpoint.prefix, todo.policy)) if stated else None
        if twin is not None:
            return Crawled(todo=todo, file_sha256=stated, file_bytes=files.size, same_as=twin)
        reader = claimant(crew.readers, files.main)
        if reader is None:
            what = "empty" if files.main.size == 0 else "of no known format"
            raise FormatError(f"{files.main.name}: the file is {what}; no reader claims it")
        digest = files.sha256()
        twin = crew.by_file.get((digest, checkpoint.prefix, todo.policy))
        known = Crawled(
            todo=todo,
            format=reader.name,
            file_sha256=digest,
            file_bytes=files.size,
            hashed=files.hashed,
            bytes_fetched=files.bytes_read,
            same_as=twin,
        )
        if twin is not None:
            return known
        tensors, note = structured(source, checkpoint, tuple(reader.tensors(files)))
        extracted = extract(tensors, todo.policy, checkpoint.prefix)
        shard = write(todo.model_id, todo.source, extracted.layers, crew.workshop)
        try:
            files.check_unchanged()
        except CheckpointError:
            if shard.staged is not None:
                shard.staged.unlink(missing_ok=True)
            raise
        return replace(known, bytes_fetched=files.bytes_read, note=note, extracted=extracted, shard=shard)


def structured(
    source: Source | None, checkpoint: Checkpoint, tensors: tuple[StoredTensor, ...]
) -> tuple[tuple[StoredTensor, ...], str | None]:
    """Give tensors what the graph of their network proves, where the source can build it; and say why not."""
    if source is None or not any(len(tensor.shape) >= 3 for tensor in tensors):
        return tensors, None  # no convolution, no need of a graph
    structure = structure_of(source, checkpoint)
    if structure is None:
        return tensors, None
    applied = apply(structure, tensors, checkpoint.prefix)
    return applied.tensors, structure.problem


def one_line(text: str) -> str:
    """Fold a message into one printable line of bearable length."""
    folded = " ".join(text.split())
    printable = "".join(c if c.isprintable() else "\ufffd" for c in folded)
    return printable if len(printable) <= 500 else printable[:499] + "\u2026"
