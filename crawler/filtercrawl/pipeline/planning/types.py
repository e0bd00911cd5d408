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


@dataclass(frozen=True, kw_only=True)
class CrawlTask:
    """One checkpoint to read. model_id: under which it is kept; previous: its row so far, None for a new one."""

    checkpoint: Checkpoint
    source: str
    model_id: str
    selector_id: str
    action: Literal["new", "changed", "retry"]
    policy: KernelPolicy = "spatial"
    previous: ModelRow | None = None


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """By what a plan is made. known_models: rows by model_id; renamed: (source, new name) -> model_id."""

    now: datetime
    version: str
    policy: KernelPolicy = "spatial"
    retry: Retry = "due"
    licenses: tuple[str, ...] = ()
    license_policy: LicensePolicy = field(default_factory=LicensePolicy)
    known_models: Mapping[str, ModelRow] = field(default_factory=dict)
    renamed: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will do. seen: model_id -> (selector id, checkpoint) of all that is offered; removed: model ids that a
    complete listing of the same selector no longer offers; waiting: failed ones whose time has not come.
    """

    tasks: tuple[CrawlTask, ...]
    unchanged: tuple[str, ...]
    waiting: tuple[str, ...]
    skipped: tuple[tuple[str, str, Skipped], ...]
    removed: tuple[tuple[str, str], ...]
    seen: Mapping[str, tuple[str, Checkpoint]]
