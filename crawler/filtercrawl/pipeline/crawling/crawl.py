"""Crawl one checkpoint in a worker thread: identify its content, read its tensors, stage its layers.

A worker reads the catalog only through the `ContentIndex` and writes nothing but staged files; the main thread commits
the `CrawlResult`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import Checkpoint, TrainingState
from filtercrawl.api.errors import (
    Cancelled,
    ChangedError,
    CheckpointError,
    FiltercrawlError,
    FormatError,
    describe_error,
)
from filtercrawl.api.format_names import format_name
from filtercrawl.api.range_file import prefetch
from filtercrawl.api.source import Reader, Source, find_reader, read_content
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.config.urls import redact_urls
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl.dataset.schema.validation import check_row, check_tensors
from filtercrawl.dataset.tables.staged_layers import StagedLayers, discard
from filtercrawl.extraction.architecture import Structure, match_tensors, structure_of
from filtercrawl.extraction.classify import ClassifiedTensors, classify_tensors
from filtercrawl.extraction.quantized_weights import resolve_quantized
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.crawling.missing_numbers import refuse_without_numbers
from filtercrawl.pipeline.crawling.stage_timer import StageTimer
from filtercrawl.pipeline.crawling.tensor_digest import digest_tensors, hashes_of_layers
from filtercrawl.pipeline.crawling.weighted_semaphore import WeightedSemaphore
from filtercrawl.pipeline.crawling.write_layers import LayerWriteOptions, write_layers
from filtercrawl.pipeline.discovery.architectures import architecture_of
from filtercrawl.pipeline.planning.estimate import estimate_from_architecture
from filtercrawl.pipeline.planning.types import CrawlTask
from filtercrawl.transport import MeasuredTransport

# Recorded as the reason of a checkpoint whose crawl raised MemoryError; its memory is free again for the next one.
OUT_OF_MEMORY: Final = "ran out of memory while reading; give this machine more memory, or set --jobs 1"
# Bytes that may have been fetched, or be on their way, without being written yet.
_PREFETCH_BYTES: Final = 2 * 1024**3
_MAX_REASON_LENGTH: Final = 500


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """Dependencies and concurrency limits shared by crawl workers.

    Attributes:
        sources: Sources by name.
        readers: Readers of checkpoint formats, in the order in which they are asked.
        transport: Network access.
        index: Contents that are known or being read.
        write_options: How layers are written.
        write_slots: Limits how many checkpoints are written at a time, while others are fetched.
        verify_all: Fetch every file in full whose SHA-256 is declared, and verify it.
        cancellation: Ends the run.
        prefetch_budget: Limits the bytes that are fetched before they are written.
    """

    sources: Mapping[str, Source]
    readers: tuple[Reader, ...]
    transport: MeasuredTransport
    index: ContentIndex
    write_options: LayerWriteOptions
    write_slots: WeightedSemaphore
    verify_all: bool = False
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    prefetch_budget: WeightedSemaphore = field(default_factory=lambda: WeightedSemaphore(_PREFETCH_BYTES))


@dataclass(frozen=True, kw_only=True)
class CrawlResult:
    """The result of crawling one checkpoint.

    Exactly one of `error`, `duplicate_of`, `unchanged` and `tensors` is set.

    Attributes:
        task: What was crawled.
        format: Name of the reader; None if the file was not opened.
        file_sha256: SHA-256 of the files; None if it is not known.
        file_bytes: Size of all files.
        verification: What the bytes were checked against: `sha256`, `etag`, `size` or `none`.
        version: The server's version of the file, such as its ETag.
        structure_error: Why the architecture is not known although the source should know it.
        bytes_fetched: Bytes fetched, or read of local files; hashing does not count.
        requests: Requests sent for the files.
        fetched_in_full: Whether every byte was fetched, which pays if most of them are needed.
        seconds: Seconds by stage.
        error: Why the crawl failed.
        duplicate_of: Model id of the checkpoint with the same content.
        unchanged: The server says that the file is the one that was read before.
        tensors: The tensors, classified.
        layers: The layers, staged.
        tensors_sha256: What `digest_tensors` returns, of local files with layers; of others not all bytes are read.
        training: How far training was, as the file states it.
    """

    task: CrawlTask
    format: str | None = None
    file_sha256: str | None = None
    file_bytes: int | None = None
    verification: str = "none"
    version: str | None = None
    structure_error: str | None = None
    bytes_fetched: int = 0
    requests: int = 0
    fetched_in_full: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    duplicate_of: str | None = None
    unchanged: bool = False
    tensors: ClassifiedTensors | None = None
    layers: StagedLayers | None = None
    tensors_sha256: str | None = None
    training: TrainingState | None = None


def crawl(task: CrawlTask, context: WorkerContext) -> CrawlResult:
    """Crawl one checkpoint; whatever is wrong with it becomes the error of the result.

    Raises:
        Cancelled: The run is to end.
    """
    timer = StageTimer()
    try:
        context.cancellation.raise_if_cancelled()
        try:
            result = crawl_once(task, context, timer)
        except ChangedError:  # from its beginning: no byte of the old version may be left
            result = crawl_once(task, context, timer, changed_during_read=True)
    except Cancelled:
        raise
    except FiltercrawlError as error:
        result = CrawlResult(task=task, error=one_line(str(error)))
    except MemoryError:
        result = CrawlResult(task=task, error=OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - a reader's mistake costs one checkpoint, never the run
        message = one_line(f"unexpected {describe_error(error)}; please report this as a bug")
        result = CrawlResult(task=task, error=message)
    return replace(result, seconds=timer.seconds)


def crawl_once(
    task: CrawlTask, context: WorkerContext, timer: StageTimer, *, changed_during_read: bool = False
) -> CrawlResult:
    """Crawl one checkpoint.

    Args:
        task: What to crawl.
        context: What workers share.
        timer: Measures the stages `header`, `extract`, `wait`, `fetch` and `write`.
        changed_during_read: The file changed during the previous attempt; fetch it in full and verify its SHA-256.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        Cancelled: The run is to end.
    """
    checkpoint = task.checkpoint
    source = context.sources.get(task.source)
    with timer.stage("header"), CheckpointFiles(checkpoint, context.readers, context.transport, source) as files:
        digest = files.stated_sha256
        owner = claim_content(digest, task, context, timer)
        if owner is not None:
            return CrawlResult(task=task, file_sha256=digest, file_bytes=files.size, duplicate_of=owner)
        if (changed_during_read or context.verify_all) and digest is not None:
            with timer.stage("fetch"):
                files.verify_sha256()
        structure = None if files.local else structure_of(source, checkpoint)
        if structure is not None and should_download_whole_file(structure, task, files):
            files.fetch_whole()  # before the header can say the same
        reader = find_reader(context.readers, files.main)
        if reader is None:
            what = format_name(files.main) or "of no known format"
            raise FormatError(f"{files.main.name}: the file is {what}; no reader claims it")
        digest = files.sha256()  # of local files; of others what their server has declared by now
        owner = claim_content(digest, task, context, timer)
        identified = CrawlResult(
            task=task, format=reader.name, file_sha256=digest, version=files.version, duplicate_of=owner,
            unchanged=owner is None and is_unchanged(task, digest, files.version),
        )  # fmt: skip
        if identified.duplicate_of is not None or identified.unchanged:
            return with_fetch_stats(identified, files)
        content = read_content(reader, files)
        stored = content.tensors
        check_tensors(files.main.name, stored)
        with timer.stage("extract"):
            builder, built = architecture_of(source, checkpoint, context.sources)
            tensors, structure_error = attach_architecture(builder, built, stored, structure)
            classified = classify_tensors(tensors, task.policy, checkpoint.prefix)
            check_row(files.main.name, {"num_params": classified.num_params}, MODELS)
            refuse_without_numbers(files.main.name, classified)
        staged = fetch_and_write(classified, task, context, files, timer)
        try:
            proof = None
            if files.local and classified.emitted:
                hashes = hashes_of_layers(classified, staged.rows)
                proof = files.uncounted(lambda: digest_tensors(stored, hashes, files.size, context.cancellation))
            files.check_unchanged()
            digest = files.sha256()
        except CheckpointError:
            discard(staged)
            raise
        return with_fetch_stats(
            replace(
                identified,
                file_sha256=digest,
                structure_error=structure_error,
                tensors=classified,
                layers=staged,
                tensors_sha256=proof,
                training=content.training,
            ),
            files,
        )


def claim_content(digest: str | None, task: CrawlTask, context: WorkerContext, timer: StageTimer) -> str | None:
    """Return the checkpoint that holds the content of a task, None if this worker has to read it."""
    if digest is None:
        return None
    with timer.stage("wait"):
        key = (digest, task.checkpoint.prefix, task.policy)
        owner = context.index.claim(key, task.model_id, context.cancellation)
    # Its own content is read again only where the plan takes it as unread, for example under another architecture.
    is_unread = task.previous is None or task.previous.file_sha256 is None
    return None if owner == task.model_id and is_unread else owner


def fetch_and_write(
    classified: ClassifiedTensors,
    task: CrawlTask,
    context: WorkerContext,
    files: CheckpointFiles,
    timer: StageTimer,
) -> StagedLayers:
    """Fetch the weights of the layers in the background and write each layer as its bytes arrive."""
    spans = [span for layer in classified.emitted for span in layer.spans]
    remote_bytes = 0 if files.local else sum(span.stop - span.start for span in spans)
    with ExitStack() as held:
        with timer.stage("wait"):
            held.enter_context(context.prefetch_budget.acquire(remote_bytes, context.cancellation))
            prefetch(spans)
            held.enter_context(context.write_slots.acquire(1, context.cancellation))
        with timer.stage("write"):
            return write_layers(
                task.model_id, task.source, classified.layers, context.write_options, context.cancellation, timer
            )


def with_fetch_stats(result: CrawlResult, files: CheckpointFiles) -> CrawlResult:
    """Add what reading the files cost and how far their bytes were verified."""
    return replace(
        result,
        file_bytes=files.size,
        verification=files.verification_level,
        bytes_fetched=files.bytes_read,
        requests=files.requests,
        fetched_in_full=files.fetched_in_full,
    )


def is_unchanged(task: CrawlTask, digest: str | None, version: str | None) -> bool:
    """Tell whether the server's version is the one that was read before; for files without revision or hash."""
    known = task.previous
    if known is None or digest is not None or version is None or known.reason is not None:
        return False
    return version == known.state.version and known.kernel_policy == task.policy


def should_download_whole_file(structure: Structure, task: CrawlTask, files: CheckpointFiles) -> bool:
    """Tell from the architecture alone whether most of the bytes are needed."""
    estimate = estimate_from_architecture(structure, task.checkpoint, task.policy, files.link)
    return estimate is not None and estimate.in_full


def attach_architecture(
    source: Source | None,
    checkpoint: Checkpoint,
    tensors: tuple[StoredTensor, ...],
    structure: Structure | None = None,
) -> tuple[tuple[StoredTensor, ...], str | None]:
    """Add to tensors what the names beside them say, and what the graph of their network proves, if it can be built.

    Args:
        source: The source of the checkpoint.
        checkpoint: The checkpoint.
        tensors: Its tensors.
        structure: Its architecture, if it is known already.

    Returns:
        The tensors, and why the architecture is not fully known, None if it is or if no source builds it.
    """
    tensors = resolve_quantized(tensors)
    if structure is None and any(len(tensor.shape) >= 3 for tensor in tensors):  # else there is no convolution
        structure = structure_of(source, checkpoint)
    if structure is None:
        return tensors, None
    matched = match_tensors(structure, tensors, checkpoint.prefix)
    return matched.tensors, None if structure.problem is None else one_line(structure.problem)


def one_line(text: str) -> str:
    """Fold a message into one printable line of at most 500 characters, its URLs without credentials."""
    folded = " ".join(redact_urls(text).split())
    printable = "".join(c if c.isprintable() else "\ufffd" for c in folded)
    if len(printable) <= _MAX_REASON_LENGTH:
        return printable
    return printable[: _MAX_REASON_LENGTH - 1] + "\u2026"
