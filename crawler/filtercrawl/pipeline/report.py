"""What a run did, for people and for `--json`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.config import Settings
from filtercrawl.pipeline.planning.approval import Approval

if TYPE_CHECKING:
    from filtercrawl.pipeline.crawling.result import CrawlResult
    from filtercrawl.pipeline.discovery.discover import Listing
    from filtercrawl.pipeline.planning.estimate import CostEstimate
    from filtercrawl.pipeline.planning.types import CrawlTask, Plan

# What can be said of checkpoints, in the order in which it is told.
WORDS: Final = (
    "discovered", "new", "changed", "retry", "unchanged", "removed", "renamed", "duplicate", "failed", "skipped",
    "waiting", "ignored",
)  # fmt: skip


@dataclass(kw_only=True)
class Cost:
    """What checkpoints cost. bytes: read or fetched, of so many that their files have; requests: sent for them.

    whole: how many were fetched in full, for most of their bytes are wanted. n_upper_bounds: in a dry run, how many
    are of an
    architecture that nothing tells: their bytes are those of the whole files, and their requests are not counted.
    """

    checkpoints: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    total_bytes: int = 0
    requests: int = 0
    n_in_full: int = 0
    n_upper_bounds: int = 0

    @property
    def share(self) -> float | None:
        """The share of the files that is fetched; None where none is, or a small one was looked at again."""
        return self.bytes / self.total_bytes if 0 < self.bytes <= self.total_bytes else None

    def as_json(self) -> dict[str, Any]:
        counts = {word: self.checkpoints[word] for word in ("new", "changed", "retry", "removed", "renamed")}
        share = None if self.share is None else round(self.share, 6)
        return counts | {
            "bytes": self.bytes, "bytes_offered": self.total_bytes, "share": share, "requests": self.requests,
            "whole": self.n_in_full, "at_most": self.n_upper_bounds,
        }  # fmt: skip


@dataclass(kw_only=True)
class Report:
    """Counts of one run.

    checkpoints: discovered = all that the sources offered, skipped ones included; new and changed = read for the
    first time or again, whatever became of them; duplicate, failed and renamed = of those. layers, kernels: emitted
    in this run. bytes_offered: the size of the files that were read. bytes_on_disk: of the layers that lie here.
    n_left: still to do after a limit. by_source: what each source's checkpoints cost, or are expected to in a dry run.
    deferred: model ids of what is to do and not approved. proposal: of a dry run, what a run would do.
    """

    checkpoints: Counter[str] = field(default_factory=Counter)
    layers: int = 0
    kernels: int = 0
    bytes_fetched: int = 0
    bytes_offered: int = 0
    bytes_on_disk: int = 0
    requests: int = 0
    seconds: float = 0.0
    n_left: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    new_failures: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    removed_models: list[str] = field(default_factory=list)
    by_source: dict[str, Cost] = field(default_factory=dict)
    deferred: list[str] = field(default_factory=list)
    proposal: Approval | None = None

    @classmethod
    def of(cls, listings: Sequence[Listing], plan: Plan) -> Report:
        """Begin with what the plan says."""
        report = cls()
        for listing in listings:
            report.checkpoints["discovered"] += len(listing.checkpoints) + len(listing.skipped)
            report.checkpoints["ignored"] += listing.ignored
            if listing.problem is not None:
                report.problems[str(listing.selector)] = listing.problem
        report.checkpoints["unchanged"] = len(plan.unchanged)
        report.checkpoints["waiting"] = len(plan.waiting)
        report.checkpoints["skipped"] = len(plan.skipped)
        report.n_left = len(plan.tasks)
        return report

    def add_estimate(self, task: CrawlTask, estimate: CostEstimate) -> None:
        """Take in what one checkpoint is expected to cost."""
        self.checkpoints[task.action] += 1
        cost = self._cost(task)
        cost.bytes += estimate.bytes or 0
        cost.total_bytes += estimate.size or estimate.bytes or 0
        cost.requests += estimate.requests or 0
        cost.n_in_full += estimate.in_full
        cost.n_upper_bounds += estimate.requests is None

    def _cost(self, task: CrawlTask) -> Cost:
        cost = self.by_source.setdefault(task.source, Cost())
        cost.checkpoints[task.action] += 1
        return cost

    def count(self, result: CrawlResult, outcome: str) -> None:
        """Take in one checkpoint."""
        todo = result.task
        self.checkpoints["unchanged" if outcome == "unchanged" and todo.action == "changed" else todo.action] += 1
        self.bytes_fetched += result.bytes_fetched
        offered = result.file_bytes or sum(file.size or 0 for file in todo.checkpoint.files)
        self.bytes_offered += offered
        cost = self._cost(todo)
        cost.bytes += result.bytes_fetched
        cost.total_bytes += offered
        cost.requests += result.requests
        cost.n_in_full += result.fetched_in_full
        if outcome in ("duplicate", "failed", "renamed"):
            self.checkpoints[outcome] += 1
        if outcome == "renamed":
            self.checkpoints["new"] -= 1
            cost.checkpoints.update(new=-1, renamed=1)
        if result.error is not None:
            self.failures[todo.model_id] = result.error
            if todo.previous is None or todo.previous.reason is None:
                self.new_failures.append(todo.model_id)
        if outcome == "emitted" and result.layers is not None:
            emitted = [row for row in result.layers.rows if row["layer_sha256"] is not None]
            self.bytes_on_disk += result.layers.size
            self.layers += len(emitted)
            self.kernels += sum(row["n_kernels"] for row in emitted)

    def count_removed(self, model_id: str, source: str) -> None:
        self.checkpoints["removed"] += 1
        self.by_source.setdefault(source, Cost()).checkpoints["removed"] += 1
        self.removed_models.append(model_id)

    def budget_exhausted(self, settings: Settings, deadline: float | None) -> bool:
        """Whether a budget of the run is used up."""
        if deadline is not None and time.monotonic() >= deadline:
            return True
        if self.disk_is_full(settings):
            return True
        return settings.max_bytes is not None and self.bytes_fetched >= settings.max_bytes

    def disk_is_full(self, settings: Settings) -> bool:
        """Whether the layers that lie here take all that they may."""
        return settings.max_disk is not None and self.bytes_on_disk >= settings.max_disk

    def exit_code(self, settings: Settings) -> int:
        """0 fine; 3 finished, but a source or checkpoints failed as `--fail-on` counts them."""
        every = self.failures or self.checkpoints["waiting"]
        counted = {"new": self.new_failures or self.problems, "any": every or self.problems, "none": ()}
        return 3 if counted[settings.fail_on] else 0

    def as_json(self) -> dict[str, Any]:
        return {
            "checkpoints": {name: self.checkpoints[name] for name in WORDS},
            "layers": self.layers,
            "kernels": self.kernels,
            "bytes_fetched": self.bytes_fetched,
            "bytes_offered": self.bytes_offered,
            "requests": self.requests,
            "seconds": self.seconds,
            "left": self.n_left,
            "failures": self.failures,
            "problems": self.problems,
            "removed": sorted(self.removed_models),
            "sources": {source: cost.as_json() for source, cost in sorted(self.by_source.items())},
        }
