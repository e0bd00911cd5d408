"""Read one checkpoint: claim, hash, extract, write its layers out of sight. Runs in a worker and touches no catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from filtercrawl.checkpoint import Reader
from filtercrawl.errors import CheckpointError, FormatError, Stopped
from filtercrawl.extract import Extracted, extract
from filtercrawl.files import CheckpointFiles, claimant
from filtercrawl.manager import describe
from filtercrawl.plan import Todo
from filtercrawl.shard import Shard, Workshop, write

# (file sha256, prefix, kernel policy): what two checkpoints have in common whose layers must be the same.
ContentKey = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Crew:
    """What a worker needs. by_file: the model_id of every content that is known."""

    readers: tuple[Reader, ...]
    workshop: Workshop
    by_file: Mapping[ContentKey, str]


@dataclass(frozen=True, kw_only=True)
class Crawled:
    """What came of one checkpoint. Exactly one of reason (it failed), same_as (known content) and extracted is set."""

    todo: Todo
    format: str | None = None
    file_sha256: str | None = None
    file_bytes: int | None = None
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
    except CheckpointError as error:
        return Crawled(todo=todo, reason=one_line(str(error)))
    except (Stopped, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - a reader's mistake costs one checkpoint, never the run
        return Crawled(todo=todo, reason=one_line(f"unexpected {describe(error)}; please report this as a bug"))


def read(todo: Todo, crew: Crew) -> Crawled:
    checkpoint = todo.checkpoint
    with CheckpointFiles(checkpoint, crew.readers) as files:
        reader = claimant(crew.readers, files.main)
        if reader is None:
            what = "empty" if files.main.size == 0 else "of no known format"
            raise FormatError(f"{files.main.name}: the file is {what}; no reader claims it")
        digest = files.sha256()
        twin = crew.by_file.get((digest, checkpoint.prefix, todo.policy))
        known = Crawled(todo=todo, format=reader.name, file_sha256=digest, file_bytes=files.size, same_as=twin)
        if twin is not None:
            return known
        extracted = extract(reader.tensors(files), todo.policy, checkpoint.prefix)
        shard = write(todo.model_id, todo.source, extracted.layers, crew.workshop)
        try:
            files.check_unchanged()
        except CheckpointError:
            if shard.staged is not None:
                shard.staged.unlink(missing_ok=True)
            raise
        return Crawled(
            todo=todo,
            format=reader.name,
            file_sha256=digest,
            file_bytes=files.size,
            bytes_fetched=files.bytes_read,
            extracted=extracted,
            shard=shard,
        )


def one_line(text: str) -> str:
    """Fold a message into one printable line of bearable length."""
    folded = " ".join(text.split())
    printable = "".join(c if c.isprintable() else "\ufffd" for c in folded)
    return printable if len(printable) <= 500 else printable[:499] + "\u2026"
