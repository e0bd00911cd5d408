"""Read one checkpoint: claim, fetch, extract, write its layers out of sight. A worker's task; no catalog is touched."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from filtercrawl.api.errors import ChangedError, CheckpointError, FiltercrawlError, FormatError, Stopped, describe
from filtercrawl.api.range_file import want
from filtercrawl.api.source import Source, claimant
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl.dataset.schema.validation import check_row, check_tensors
from filtercrawl.dataset.tables.staged_layers import discard
from filtercrawl.extraction.architecture import Structure, apply, structure_of
from filtercrawl.extraction.classify import extract
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.pipeline.crawling.result import Crawled
from filtercrawl.pipeline.crawling.write_layers import write
from filtercrawl.pipeline.planning.estimate import expected

if TYPE_CHECKING:
    from filtercrawl.api.checkpoint import Checkpoint
    from filtercrawl.api.tensor import StoredTensor
    from filtercrawl.pipeline.crawling.worker_context import Crew
    from filtercrawl.pipeline.planning.types import Todo

# Why a checkpoint failed that needed more memory than there is; the memory is free again when the next one is read.
OUT_OF_MEMORY: Final = "ran out of memory while reading; give this machine more memory, or set --jobs 1"


def crawl(todo: Todo, crew: Crew) -> Crawled:
    """Read one checkpoint; whatever is wrong with it becomes its reason. Raises Stopped."""
    try:
        crew.workshop.pause()
        try:
            return read(todo, crew)
        except ChangedError:
            return read(todo, crew, again=True)  # from its beginning: no byte of the old version is left
    except FiltercrawlError as error:
        return Crawled(todo=todo, reason=one_line(str(error)))
    except Stopped:
        raise
    except MemoryError:
        return Crawled(todo=todo, reason=OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - a reader's mistake costs one checkpoint, never the run
        return Crawled(todo=todo, reason=one_line(f"unexpected {describe(error)}; please report this as a bug"))


def read(todo: Todo, crew: Crew, *, again: bool = False) -> Crawled:
    """Read one checkpoint; raises CheckpointError. again: it changed under way, so a stated sha256 wants its proof."""
    checkpoint = todo.checkpoint
    source = crew.sources.get(todo.source)
    with CheckpointFiles(checkpoint, crew.readers, crew.transport, source) as files:
        digest = files.stated_sha256
        twin = crew.by_file.get((digest, checkpoint.prefix, todo.policy)) if digest else None
        if twin is not None:
            return Crawled(todo=todo, file_sha256=digest, file_bytes=files.size, same_as=twin)
        if (again or crew.prove) and digest is not None:
            files.prove()
        structure = None if files.local else structure_of(source, checkpoint)
        if structure is not None and will_be_whole(structure, todo, files):
            files.fetch_whole()  # before its header is there to say the same
        reader = claimant(crew.readers, files.main)
        if reader is None:
            what = "empty" if files.main.size == 0 else "of no known format"
            raise FormatError(f"{files.main.name}: the file is {what}; no reader claims it")
        digest = files.sha256()  # of this machine's files; of others, as by now their server has told
        twin = crew.by_file.get((digest, checkpoint.prefix, todo.policy)) if digest else None
        found = Crawled(
            todo=todo, format=reader.name, file_sha256=digest, version=files.version, same_as=twin,
            unchanged=twin is None and is_unchanged(todo, digest, files.version),
        )  # fmt: skip
        if found.same_as is not None or found.unchanged:
            return told(found, files)
        stored = tuple(reader.tensors(files))
        check_tensors(files.main.name, stored)
        tensors, note = structured(source, checkpoint, stored, structure)
        extracted = extract(tensors, todo.policy, checkpoint.prefix)
        check_row(files.main.name, {"num_params": extracted.num_params}, MODELS)
        wanted = [layer.tensor.extent.lies for layer in extracted.emitted if layer.tensor.extent is not None]
        with crew.ahead.taken(
            0 if files.local else sum(span.stop - span.start for span in wanted), crew.workshop.pause
        ):
            want(wanted)
            with crew.desks.taken(1, crew.workshop.pause):
                shard = write(todo.model_id, todo.source, extracted.layers, crew.workshop)
        try:
            files.check_unchanged()
            digest = files.sha256()
        except CheckpointError:
            discard(shard)
            raise
        return told(replace(found, file_sha256=digest, note=note, extracted=extracted, shard=shard), files)


def told(crawled: Crawled, files: CheckpointFiles) -> Crawled:
    """Say what reading cost, and how far what was read is proven."""
    return replace(
        crawled,
        file_bytes=files.size,
        verified=files.verified,
        bytes_fetched=files.bytes_read,
        requests=files.requests,
        whole=files.whole,
    )


def is_unchanged(todo: Todo, digest: str | None, version: str | None) -> bool:
    """Tell whether a source that knows neither revision nor hash offers what the server gave the last time."""
    known = todo.known
    if known is None or digest is not None or version is None or known["reason"] is not None:
        return False
    return bool(version == known.get("_version") and known["kernel_policy"] == todo.policy)


def will_be_whole(structure: Structure, todo: Todo, files: CheckpointFiles) -> bool:
    """Tell by the architecture alone whether most of the bytes are wanted."""
    found = expected(structure, todo.checkpoint, todo.policy, files.link)
    return found is not None and found.whole


def structured(
    source: Source | None,
    checkpoint: Checkpoint,
    tensors: tuple[StoredTensor, ...],
    structure: Structure | None = None,
) -> tuple[tuple[StoredTensor, ...], str | None]:
    """Give tensors what the graph of their network proves, where the source can build it; and say why not."""
    if structure is None and any(len(tensor.shape) >= 3 for tensor in tensors):  # else there is no convolution
        structure = structure_of(source, checkpoint)
    if structure is None:
        return tensors, None
    applied = apply(structure, tensors, checkpoint.prefix)
    return applied.tensors, None if structure.problem is None else one_line(structure.problem)


def one_line(text: str) -> str:
    """Fold a message into one printable line of bearable length."""
    folded = " ".join(text.split())
    printable = "".join(c if c.isprintable() else "\ufffd" for c in folded)
    return printable if len(printable) <= 500 else printable[:499] + "\u2026"
