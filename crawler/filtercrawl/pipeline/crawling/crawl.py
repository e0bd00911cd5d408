"""Read one checkpoint: claim, fetch, extract, write its layers out of sight. A worker's task; no catalog is touched."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.errors import (
    Cancelled,
    ChangedError,
    CheckpointError,
    FiltercrawlError,
    FormatError,
    describe_error,
)
from filtercrawl.api.range_file import prefetch
from filtercrawl.api.source import Source, find_reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl.dataset.schema.validation import check_row, check_tensors
from filtercrawl.dataset.tables.staged_layers import discard
from filtercrawl.extraction.architecture import Structure, match_tensors, structure_of
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.pipeline.crawling.result import CrawlResult
from filtercrawl.pipeline.crawling.worker_context import WorkerContext
from filtercrawl.pipeline.crawling.write_layers import write_layers
from filtercrawl.pipeline.planning.estimate import estimate_from_architecture
from filtercrawl.pipeline.planning.types import CrawlTask

# Why a checkpoint failed that needed more memory than there is; the memory is free again when the next one is read.
OUT_OF_MEMORY: Final = "ran out of memory while reading; give this machine more memory, or set --jobs 1"


def crawl(task: CrawlTask, context: WorkerContext) -> CrawlResult:
    """Read one checkpoint; whatever is wrong with it becomes its reason. Raises Stopped."""
    try:
        context.write_options.check_cancelled()
        try:
            return crawl_once(task, context)
        except ChangedError:
            return crawl_once(
                task, context, changed_during_read=True
            )  # from its beginning: no byte of the old version is left
    except FiltercrawlError as error:
        return CrawlResult(task=task, error=one_line(str(error)))
    except Cancelled:
        raise
    except MemoryError:
        return CrawlResult(task=task, error=OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - a reader's mistake costs one checkpoint, never the run
        return CrawlResult(
            task=task, error=one_line(f"unexpected {describe_error(error)}; please report this as a bug")
        )


def crawl_once(task: CrawlTask, context: WorkerContext, *, changed_during_read: bool = False) -> CrawlResult:
    """Read one checkpoint; raises CheckpointError. changed_during_read: it changed under way, so a stated sha256 wants
    its proof.
    """
    checkpoint = task.checkpoint
    source = context.sources.get(task.source)
    with CheckpointFiles(checkpoint, context.readers, context.transport, source) as files:
        digest = files.stated_sha256
        twin = context.model_by_content.get((digest, checkpoint.prefix, task.policy)) if digest else None
        if twin is not None:
            return CrawlResult(task=task, file_sha256=digest, file_bytes=files.size, duplicate_of=twin)
        if (changed_during_read or context.verify_all) and digest is not None:
            files.verify_sha256()
        structure = None if files.local else structure_of(source, checkpoint)
        if structure is not None and should_download_whole_file(structure, task, files):
            files.fetch_whole()  # before its header is there to say the same
        reader = find_reader(context.readers, files.main)
        if reader is None:
            what = "empty" if files.main.size == 0 else "of no known format"
            raise FormatError(f"{files.main.name}: the file is {what}; no reader claims it")
        digest = files.sha256()  # of this machine's files; of others, as by now their server has told
        twin = context.model_by_content.get((digest, checkpoint.prefix, task.policy)) if digest else None
        found = CrawlResult(
            task=task, format=reader.name, file_sha256=digest, version=files.version, duplicate_of=twin,
            unchanged=twin is None and is_unchanged(task, digest, files.version),
        )  # fmt: skip
        if found.duplicate_of is not None or found.unchanged:
            return with_fetch_stats(found, files)
        stored = tuple(reader.tensors(files))
        check_tensors(files.main.name, stored)
        tensors, note = attach_architecture(source, checkpoint, stored, structure)
        extracted = classify_tensors(tensors, task.policy, checkpoint.prefix)
        check_row(files.main.name, {"num_params": extracted.num_params}, MODELS)
        wanted = [layer.tensor.location.byte_span for layer in extracted.emitted if layer.tensor.location is not None]
        with context.prefetch_budget.acquire(
            0 if files.local else sum(span.stop - span.start for span in wanted), context.write_options.check_cancelled
        ):
            prefetch(wanted)
            with context.write_slots.acquire(1, context.write_options.check_cancelled):
                shard = write_layers(task.model_id, task.source, extracted.layers, context.write_options)
        try:
            files.check_unchanged()
            digest = files.sha256()
        except CheckpointError:
            discard(shard)
            raise
        return with_fetch_stats(
            replace(found, file_sha256=digest, structure_error=note, tensors=extracted, layers=shard), files
        )


def with_fetch_stats(result: CrawlResult, files: CheckpointFiles) -> CrawlResult:
    """Say what reading cost, and how far what was read is proven."""
    return replace(
        result,
        file_bytes=files.size,
        verification=files.verification_level,
        bytes_fetched=files.bytes_read,
        requests=files.requests,
        fetched_in_full=files.fetched_in_full,
    )


def is_unchanged(task: CrawlTask, digest: str | None, version: str | None) -> bool:
    """Tell whether a source that knows neither revision nor hash offers what the server gave the last time."""
    known = task.previous
    if known is None or digest is not None or version is None or known.reason is not None:
        return False
    return version == known.state.version and known.kernel_policy == task.policy


def should_download_whole_file(structure: Structure, task: CrawlTask, files: CheckpointFiles) -> bool:
    """Tell by the architecture alone whether most of the bytes are wanted."""
    found = estimate_from_architecture(structure, task.checkpoint, task.policy, files.link)
    return found is not None and found.in_full


def attach_architecture(
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
    applied = match_tensors(structure, tensors, checkpoint.prefix)
    return applied.tensors, None if structure.problem is None else one_line(structure.problem)


def one_line(text: str) -> str:
    """Fold a message into one printable line of bearable length."""
    folded = " ".join(text.split())
    printable = "".join(c if c.isprintable() else "\ufffd" for c in folded)
    return printable if len(printable) <= 500 else printable[:499] + "\u2026"
