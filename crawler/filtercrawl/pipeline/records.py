"""What the stages of a run hand on: a plan with its tasks, and the result of each task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from filtercrawl.api.checkpoint import Checkpoint, Skipped, TrainingState
from filtercrawl.api.vocabulary import KernelPolicy
from filtercrawl.dataset.schema.model_row import ModelOutcome, ModelRow
from filtercrawl.extraction.ledger import LedgerEntry

if TYPE_CHECKING:  # what a run needs that reads something; a plan is made without
    from filtercrawl.dataset.tables.staged_layers import StagedLayers

# The error of a checkpoint for which there was not enough memory; it is free again for the next one.
OUT_OF_MEMORY: Final = "ran out of memory while reading; give this machine more memory, or set --jobs 1"

# What the reason says for which a file that names code is not read.
REFUSED: Final = "; refused by refuse_code"

CommitOutcome = ModelOutcome | Literal["unchanged", "renamed", "shared", "must_recrawl"]


@dataclass(frozen=True, kw_only=True)
class CrawlTask:
    """One checkpoint to crawl.

    Attributes:
        checkpoint: What its source offers.
        source: Name of the source.
        model_id: Its id in the dataset.
        selector_id: Id of the selector that listed it.
        action: Why it is crawled: it is new, it changed, or its last attempt failed.
        policy: Which kernel sizes are kept.
        previous: Its row of `models`; None for a new checkpoint.
        refuse_code: Whether a file that names code which loading it would run is not to be read.
    """

    checkpoint: Checkpoint
    source: str
    model_id: str
    selector_id: str
    action: Literal["new", "changed", "retry"]
    policy: KernelPolicy = "spatial"
    previous: ModelRow | None = None
    refuse_code: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will do.

    Attributes:
        tasks: What to crawl, by model id.
        unchanged: Model ids of what need not be read again, though what its source states of it may differ.
        waiting: Model ids of failed checkpoints that are not due for a retry.
        skipped: (source, selector id, name and reason) of what is left out.
        removed: (model id, selector id) of what a complete listing of the selector no longer offers.
        gone: (model id, selector id) of what the selector's last complete listing had and this one has not, whatever
            became of it.
        seen: (selector id, checkpoint) of what is offered, by model id.
        settled: Model ids of what is offered, too, and just as it was when its row was made: nothing is to be done.
        opted_out: Model ids of what the dataset holds although an opt-out names it.
        restricted: Why there is no access any more, by the model id of what the dataset holds.
        dropped: Those of them that are removed.
        deferred: Model ids of what was not approved, and so is left for a later run.
    """

    tasks: tuple[CrawlTask, ...]
    unchanged: tuple[str, ...]
    waiting: tuple[str, ...]
    skipped: tuple[tuple[str, str, Skipped], ...]
    removed: tuple[tuple[str, str], ...]
    seen: Mapping[str, tuple[str, Checkpoint]]
    settled: frozenset[str] = frozenset()
    gone: tuple[tuple[str, str], ...] = ()
    opted_out: tuple[str, ...] = ()
    restricted: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    deferred: tuple[str, ...] = ()

    @property
    def refused(self) -> set[str]:
        """The model ids of what is offered and skipped."""
        return {f"{source}/{skipped.name}" for source, _, skipped in self.skipped} & self.seen.keys()

    @property
    def removed_models(self) -> set[str]:
        """The model ids that at least one selector no longer offers."""
        return {model_id for model_id, _ in self.removed}


@dataclass(frozen=True, kw_only=True)
class CrawlResult:
    """The result of crawling one checkpoint: plain data, which may come from another process.

    Exactly one of `error`, `dataset_error`, `duplicate_of`, `unchanged` and `ledger` is set.

    Attributes:
        task: What was crawled.
        format: Name of the reader; None if the file was not opened.
        file_sha256: SHA-256 of the files; None if it is not known.
        file_bytes: Size of all files.
        verification: What the bytes were checked against: `sha256`, `etag`, `size` or `none`.
        version: The server's version of the file, such as its ETag.
        structure_error: Why the architecture is not known although the source should know it.
        bytes_fetched: Bytes fetched, or read of local files, of those each once; hashing does not count.
        requests: Requests sent for the files.
        fetched_in_full: Whether every byte was fetched, which pays if most of them are needed.
        seconds: Seconds by stage.
        error: Why the crawl failed.
        dataset_error: Why nothing can be written, such as a full disk: the run ends, and no checkpoint is to blame.
        never_tried: It failed because its server cannot be reached, which says nothing of the checkpoint.
        duplicate_of: Model id of the checkpoint with the same content.
        unchanged: The server says that the file is the one that was read before.
        ledger: One entry for each tensor.
        num_params: Number of parameters of the model.
        layers: The layers, staged.
        tensors_sha256: What `digest_tensors` returns, of local files with layers; of others not all bytes are read.
        training: How far training was, as the file states it.
        code: Names of the functions that loading the file would run.
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
    dataset_error: str | None = None
    never_tried: bool = False
    duplicate_of: str | None = None
    unchanged: bool = False
    ledger: tuple[LedgerEntry, ...] | None = None
    num_params: int = 0
    layers: StagedLayers | None = None
    tensors_sha256: str | None = None
    training: TrainingState | None = None
    code: tuple[str, ...] = ()
