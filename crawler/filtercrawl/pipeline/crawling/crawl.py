"""Crawl one checkpoint in a worker thread: identify its content, read its tensors, stage its layers.

A worker reads the catalog only through the `ContentIndex` and writes nothing but staged files; the main thread commits
the `CrawlResult`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import torch

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.errors import (
    Cancelled,
    ChangedError,
    CheckpointError,
    FiltercrawlError,
    UnreachableError,
)
from filtercrawl.api.range_file import prefetch
from filtercrawl.api.reader import Reader, read_content
from filtercrawl.api.source import Source
from filtercrawl.config.urls import redact_urls
from filtercrawl.dataset.schema.model_row import ContentKey
from filtercrawl.dataset.tables.effective import with_recipes
from filtercrawl.dataset.tables.staged_layers import StagedLayers, discard
from filtercrawl.extraction.architecture import Structure, structure_of
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles, display_name
from filtercrawl.pipeline.crawling.extract import Extraction, extract, reason_against_code, warn_of_code
from filtercrawl.pipeline.crawling.full_disk import dataset_error
from filtercrawl.pipeline.crawling.stage_layers import LayerStager
from filtercrawl.pipeline.crawling.stage_timer import StageTimer
from filtercrawl.pipeline.crawling.tensor_digest import digest_tensors, hashes_of_layers
from filtercrawl.pipeline.crawling.unexpected_error import unexpected_reason
from filtercrawl.pipeline.crawling.weighted_semaphore import WeightedSemaphore
from filtercrawl.pipeline.planning.estimate import estimate_from_architecture
from filtercrawl.pipeline.records import OUT_OF_MEMORY, CrawlResult, CrawlTask
from filtercrawl.transport import MeasuredTransport

_OUT_OF_MEMORY_TEXT: Final = re.compile(
    r"DefaultCPUAllocator: (can't allocate|not enough) memory|out of memory|can't start new thread"
)
# Bytes that may have been fetched, or be on their way, without being written yet.
_PREFETCH_BYTES: Final = 2 * 1024**3
_MAX_REASON_LENGTH: Final = 500


class ContentClaims(Protocol):
    """Tells which checkpoint holds a content; `ContentIndex` does, and what asks it from another process."""

    def claim(self, key: ContentKey, model_id: str, cancellation: CancellationToken | None = None) -> str | None:
        """Return the checkpoint that holds a content; if there is none, reserve the content for the caller to read."""
        ...


class WriteSlots(Protocol):
    """Limits how many checkpoints are written at a time; `WeightedSemaphore` does, and what asks another process."""

    def acquire(self, n: int, cancellation: CancellationToken | None = None) -> AbstractContextManager[None]:
        """Hold `n` of the slots while the block runs; wait until they are free."""
        ...


@dataclass(frozen=True, kw_only=True)
class Crawler:
    """Crawls checkpoints; all worker threads of a process share one.

    Attributes:
        sources: Sources by name.
        readers: Readers of checkpoint formats, in the order in which they are asked.
        transport: Network access.
        index: Contents that are known or being read.
        layer_stager: Writes layers into staged files.
        write_slots: Limits how many checkpoints are written at a time, while others are fetched.
        verify_all: Fetch every file in full whose SHA-256 is declared, and verify it.
        cancellation: Ends the run.
        limit_reading: Returns what limits the blocks that read a checkpoint of so many bytes, together.
        prefetch_budget: Limits the bytes that are fetched before they are written.
        on_stage: Called at each step of the work.
    """

    sources: Mapping[str, Source]
    readers: tuple[Reader, ...]
    transport: MeasuredTransport
    index: ContentClaims
    layer_stager: LayerStager
    write_slots: WriteSlots
    verify_all: bool = False
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    limit_reading: Callable[[int], AbstractContextManager[None]] = lambda _: nullcontext()
    prefetch_budget: WeightedSemaphore = field(default_factory=lambda: WeightedSemaphore(_PREFETCH_BYTES))
    on_stage: Callable[[], None] | None = None

    def crawl(self, task: CrawlTask) -> CrawlResult:
        """Crawl one checkpoint; whatever is wrong with it becomes the error of the result.

        Raises:
            Cancelled: The run is to end.
        """
        timer = StageTimer(self.on_stage)
        try:
            self.cancellation.raise_if_cancelled()
            try:
                result = self._crawl_once(task, timer)
            except ChangedError:  # from its beginning: no byte of the old version may be left
                result = self._crawl_once(task, timer, changed_during_read=True)
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - a reader's mistake costs one checkpoint, never the run
            result = failed_result(error, task, self.readers)
        return replace(result, seconds=timer.seconds)

    def _crawl_once(self, task: CrawlTask, timer: StageTimer, *, changed_during_read: bool = False) -> CrawlResult:
        """Crawl one checkpoint.

        Args:
            task: What to crawl.
            timer: Measures the stages `header`, `extract`, `wait`, `fetch` and `write`.
            changed_during_read: The file changed during the previous attempt; fetch it in full and verify its SHA-256.

        Raises:
            CheckpointError: The checkpoint cannot be read.
            Cancelled: The run is to end.
        """
        source = self.sources.get(task.source)
        with timer.stage("header"), CheckpointFiles(task.checkpoint, self.readers, self.transport, source) as files:
            digest = files.stated_sha256
            owner = self._claim_content(digest, task, timer)
            if owner is not None:
                return CrawlResult(task=task, file_sha256=digest, file_bytes=files.size, duplicate_of=owner)
            if (changed_during_read or self.verify_all) and digest is not None:
                with timer.stage("fetch"):
                    files.verify_sha256()
            structure = None if files.local else structure_of(source, task.checkpoint)
            if structure is not None and should_download_whole_file(structure, task, files):
                files.fetch_whole()  # before the header can say the same
            reading_limit = self.limit_reading(files.size)
            with reading_limit:
                reader = files.reader()
            digest = files.sha256()  # of local files; of others what their server has declared by now
            owner = self._claim_content(digest, task, timer)
            identified = CrawlResult(
                task=task, format=reader.name, file_sha256=digest, version=files.version, duplicate_of=owner,
                unchanged=owner is None and is_unchanged(task, digest, files.version),
            )  # fmt: skip
            if identified.duplicate_of is not None or identified.unchanged:
                return with_fetch_stats(identified, files)
            with reading_limit:
                content = read_content(reader, files)
            if reason := reason_against_code(content, refuse=task.refuse_code):
                return CrawlResult(task=task, error=one_line(reason), code=content.code)
            warn_of_code(files.main.name, content.code)
            stored = content.tensors
            with timer.stage("extract"):
                extracted = extract(files.main.name, stored, task, self.sources, structure)
            classified = extracted.classified
            timer.limit("fetch", self.limit_reading(files.size))
            staged = self._fetch_and_write(extracted, task, files, timer)
            try:
                proof = None
                if files.local and classified.emitted:
                    hashes = hashes_of_layers(classified, staged.rows)
                    with timer.stage("fetch"), files.uncounted():
                        proof = digest_tensors(stored, hashes, files.size, self.cancellation)
                files.check_unchanged()
                digest = files.sha256()
            except CheckpointError:
                discard(staged)
                raise
            return with_fetch_stats(
                replace(
                    identified,
                    file_sha256=digest,
                    structure_error=None if extracted.problem is None else one_line(extracted.problem),
                    ledger=classified.ledger,
                    num_params=classified.num_params,
                    layers=staged,
                    tensors_sha256=proof,
                    training=content.training,
                    code=content.code,
                ),
                files,
            )

    def _claim_content(self, digest: str | None, task: CrawlTask, timer: StageTimer) -> str | None:
        """Return the checkpoint that holds the content of a task, None if this worker has to read it."""
        if digest is None:
            return None
        with timer.stage("wait"):
            owner = self.index.claim((digest, task.checkpoint.prefix, task.policy), task.model_id, self.cancellation)
        # Its own content is read again only where the plan takes it as unread, for example under another architecture.
        is_unread = task.previous is None or task.previous.file_sha256 is None
        return None if owner == task.model_id and is_unread else owner

    def _fetch_and_write(
        self, extracted: Extraction, task: CrawlTask, files: CheckpointFiles, timer: StageTimer
    ) -> StagedLayers:
        """Fetch the weights of the layers in the background and write each layer as its bytes arrive.

        Last come the numbers by which effective weights follow from them, which are fetched along.
        """
        classified = extracted.classified
        spans = [span for layer in classified.emitted for span in layer.spans]
        spans += [span for plan in extracted.plans for span in plan.spans()]
        remote_bytes = 0 if files.local else sum(span.stop - span.start for span in spans)
        with ExitStack() as held:
            with timer.stage("wait"):
                held.enter_context(self.prefetch_budget.acquire(remote_bytes, self.cancellation))
                prefetch(spans)
                held.enter_context(self.write_slots.acquire(1, self.cancellation))
            with timer.stage("write"):
                staged = self.layer_stager.write(task.model_id, task.source, classified.layers, timer)
                try:
                    with timer.stage("fetch"):
                        recipes = [plan.read() for plan in extracted.plans]
                except CheckpointError:
                    discard(staged)
                    raise
                found = [recipe for recipe in recipes if recipe is not None]
                return with_recipes(staged, found, extracted.bn_folded())


def failed_result(error: Exception, task: CrawlTask, readers: tuple[Reader, ...]) -> CrawlResult:
    """Return the result of a crawl that raised an error."""
    if (blocked := dataset_error(error)) is not None:
        return CrawlResult(task=task, dataset_error=one_line(blocked))
    if isinstance(error, FiltercrawlError):
        never_tried = isinstance(error, UnreachableError)
        return CrawlResult(task=task, error=failure_reason(error, task.checkpoint), never_tried=never_tried)
    reason = OUT_OF_MEMORY if is_out_of_memory(error) else one_line(unexpected_reason(error, readers))
    return CrawlResult(task=task, error=reason)


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


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an allocation failed: in Python, in torch, which may raise RuntimeError, in mmap, or of a stack."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY_TEXT.search(str(error)) is not None


def failure_reason(error: FiltercrawlError, checkpoint: Checkpoint) -> str:
    """Return why a checkpoint failed, without the name of its file where its own name, shown beside, ends with that."""
    file = display_name(checkpoint.files[0])
    text = str(error)
    return one_line(text.removeprefix(f"{file}: ") if checkpoint.name.endswith(file) else text)


def one_line(text: str) -> str:
    """Fold a message into one printable line of at most 500 characters, its URLs without credentials."""
    folded = " ".join(redact_urls(text).split())
    printable = "".join(c if c.isprintable() else "\ufffd" for c in folded)
    if len(printable) <= _MAX_REASON_LENGTH:
        return printable
    return printable[: _MAX_REASON_LENGTH - 1] + "\u2026"
