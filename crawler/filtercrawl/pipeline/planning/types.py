"""Records of planning: tasks, options, the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from filtercrawl.api.checkpoint import Checkpoint, Skipped
from filtercrawl.api.vocabulary import KernelPolicy
from filtercrawl.config import Retry
from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.pipeline.discovery.opt_out import OptOut


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
    """

    checkpoint: Checkpoint
    source: str
    model_id: str
    selector_id: str
    action: Literal["new", "changed", "retry"]
    policy: KernelPolicy = "spatial"
    previous: ModelRow | None = None


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What a plan depends on besides the listings.

    Attributes:
        now: Time of the run.
        version: Version of filtercrawl; failures of another version are retried.
        policy: Which kernel sizes are kept.
        retry: Which failed checkpoints are retried.
        licenses: Only checkpoints with one of these licenses are crawled; empty for any license.
        license_policy: What may be kept of a checkpoint under which license.
        opt_out: What may not be fetched nor kept.
        known_models: Rows of `models` by model id.
        renamed: Model id by (source, new name).
    """

    now: datetime
    version: str
    policy: KernelPolicy = "spatial"
    retry: Retry = "due"
    licenses: tuple[str, ...] = ()
    license_policy: LicensePolicy = field(default_factory=LicensePolicy)
    opt_out: OptOut = field(default_factory=OptOut)
    known_models: Mapping[str, ModelRow] = field(default_factory=dict)
    renamed: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will do.

    Attributes:
        tasks: What to crawl, by model id.
        unchanged: Model ids of what is offered as it was.
        waiting: Model ids of failed checkpoints that are not due for a retry.
        skipped: (source, selector id, name and reason) of what is left out.
        removed: (model id, selector id) of what a complete listing of the selector no longer offers.
        seen: (selector id, checkpoint) of everything that is offered, by model id.
        opted_out: Model ids of what the dataset holds although an opt-out names it.
    """

    tasks: tuple[CrawlTask, ...]
    unchanged: tuple[str, ...]
    waiting: tuple[str, ...]
    skipped: tuple[tuple[str, str, Skipped], ...]
    removed: tuple[tuple[str, str], ...]
    seen: Mapping[str, tuple[str, Checkpoint]]
    opted_out: tuple[str, ...] = ()
