"""Report of a sync run."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.formatting import escape_control, format_count, format_counts, format_plural, format_size
from filtercrawl.config import Settings
from filtercrawl.display import html_table
from filtercrawl.pipeline.cost import CRAWLED, OTHER_OUTCOMES, Cost
from filtercrawl.pipeline.planning.approval import Approval

if TYPE_CHECKING:
    from filtercrawl.pipeline.discovery.discover import Listing
    from filtercrawl.pipeline.planning.estimate import CostEstimate
    from filtercrawl.pipeline.records import CrawlResult, CrawlTask, Plan

# Counts of checkpoints, in the order in which they are shown.
WORDS: Final = (
    "discovered", "new", "changed", "retry", "unchanged", "removed", "renamed", "duplicate", "failed", "skipped",
    "waiting", "ignored",
)  # fmt: skip
# What people read for a word: whether what is gone was removed depends on --prune.
LABELS: Final = {word: word for word in WORDS} | {"removed": "no longer offered"}
# Reasons of skipped checkpoints that are shown.
_MAX_REASONS: Final = 4


@dataclass(kw_only=True)
class SyncReport:
    """What one sync run did, or in a dry run would do.

    Attributes:
        checkpoints: Counts by the words of `WORDS`. `discovered`: everything that the sources offered, also what is
            skipped. `new`, `changed`, `retry`: crawled for the first time, for a change, after a failure. What turned
            out to be a duplicate, failed or is renamed counts as that only. In a dry run all is counted by why it
            would be crawled.
        layers: Layers written.
        kernels: Kernels written.
        bytes_fetched: Bytes read or fetched.
        bytes_offered: Size of the files that were read.
        bytes_on_disk: Bytes of the layers files in the dataset folder.
        requests: Requests of the whole run.
        retries: Failed requests that were tried again.
        seconds: Duration of the run.
        work_seconds: Seconds of all workers together, by stage of reading a checkpoint.
        n_left: Checkpoints left for the next run, because of a limit or a cancellation.
        failures: Reason by model id of each checkpoint that failed.
        new_failures: Model ids of failures that did not fail before.
        problems: By selector, why its listing is not complete.
        ignored: Number of files that are no weights, by what they are.
        skipped: Number of checkpoints that were skipped, by reason.
        empty: By selector that offers no checkpoint, what it offers instead, and what to do.
        removed_models: Model ids that are no longer offered.
        restricted: Why there is no access any more, by the model id of what the dataset held.
        dropped: Those of them that were removed.
        by_source: Cost of each source's checkpoints.
        deferred: Model ids that were not approved.
        proposal: Of a dry run, what a run would do; it can be approved.
    """

    checkpoints: Counter[str] = field(default_factory=Counter)
    layers: int = 0
    kernels: int = 0
    bytes_fetched: int = 0
    bytes_offered: int = 0
    bytes_on_disk: int = 0
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0
    work_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    n_left: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    new_failures: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    empty: dict[str, str] = field(default_factory=dict)
    removed_models: list[str] = field(default_factory=list)
    restricted: Mapping[str, str] = field(default_factory=dict)
    dropped: Set[str] = frozenset()
    by_source: dict[str, Cost] = field(default_factory=dict)
    deferred: list[str] = field(default_factory=list)
    proposal: Approval | None = None

    @classmethod
    def of(cls, listings: Sequence[Listing], plan: Plan, bytes_on_disk: int = 0) -> SyncReport:
        """Return the report of a run that is about to carry out a plan."""
        report = cls(deferred=list(plan.deferred), bytes_on_disk=bytes_on_disk, n_left=len(plan.tasks))
        report.restricted, report.dropped = plan.restricted, plan.dropped
        for listing in listings:
            report.checkpoints["discovered"] += len(listing.checkpoints) + len(listing.skipped)
            report.checkpoints["ignored"] += sum(listing.ignored.values())
            report.ignored.update(listing.ignored)
            if listing.problem is not None:
                report.problems[str(listing.selector)] = listing.problem
            elif not listing.checkpoints:
                report.empty[str(listing.selector)] = describe_empty(listing)
        report.checkpoints["unchanged"] = len(plan.unchanged) + len(plan.settled)
        report.checkpoints["waiting"] = len(plan.waiting)
        report.checkpoints["skipped"] = len(plan.skipped)
        report.skipped.update(skip.reason for _, _, skip in plan.skipped)
        return report

    def add_estimate(self, task: CrawlTask, estimate: CostEstimate) -> None:
        """Add what one checkpoint is expected to cost."""
        cost = self._count(task, task.action)
        cost.bytes += estimate.bytes or 0
        cost.total_bytes += estimate.size or estimate.bytes or 0
        cost.requests += estimate.requests or 0
        cost.n_in_full += estimate.in_full
        cost.n_upper_bounds += estimate.requests is None

    def _count(self, task: CrawlTask, word: str) -> Cost:
        self.checkpoints[word] += 1
        cost = self.by_source.setdefault(task.source, Cost())
        cost.checkpoints[word] += 1
        return cost

    def count(self, result: CrawlResult, outcome: str) -> None:
        """Add the result of one checkpoint."""
        task = result.task
        self.n_left -= 1
        is_unchanged = (outcome, task.action) == ("unchanged", "changed")
        cost = self._count(task, outcome if is_unchanged or outcome in OTHER_OUTCOMES else task.action)
        self.bytes_fetched += result.bytes_fetched
        offered = result.file_bytes or sum(file.size or 0 for file in task.checkpoint.files)
        self.bytes_offered += offered
        cost.bytes += result.bytes_fetched
        cost.total_bytes += offered
        cost.requests += result.requests
        cost.n_in_full += result.fetched_in_full
        for stage, taken in result.seconds.items():
            self.work_seconds[stage] += taken
        if result.error is not None:
            self.failures[task.model_id] = result.error
            if task.previous is None or task.previous.reason is None:
                self.new_failures.append(task.model_id)
        if outcome == "emitted" and result.layers is not None:
            emitted = [row for row in result.layers.rows if row.emitted]
            self.bytes_on_disk += result.layers.size
            self.layers += len(emitted)
            self.kernels += sum(row.n_kernels for row in emitted)

    def count_as_duplicate(self, task: CrawlTask) -> None:
        """Change the count of a checkpoint that became a duplicate of a later one."""
        for counts in (self.checkpoints, self.by_source[task.source].checkpoints):
            counts[task.action] -= 1
            counts["duplicate"] += 1

    @property
    def n_crawled(self) -> int:
        """Checkpoints that the run looked into, whatever became of them."""
        return sum(self.checkpoints[word] for word in CRAWLED)

    def count_removed(self, model_id: str) -> None:
        """Add a checkpoint that its source no longer offers."""
        source = model_id.partition("/")[0]
        self.checkpoints["removed"] += 1
        self.by_source.setdefault(source, Cost()).checkpoints["removed"] += 1
        self.removed_models.append(model_id)

    def budget_exhausted(self, settings: Settings, deadline: float | None) -> bool:
        """Tell whether the run has reached its deadline (of `time.monotonic`), its disk space or its bytes."""
        if (deadline is not None and time.monotonic() >= deadline) or self.disk_is_full(settings):
            return True
        return settings.max_bytes is not None and self.bytes_fetched >= settings.max_bytes

    def disk_is_full(self, settings: Settings) -> bool:
        """Tell whether the layers files in the folder take all the space that they may."""
        return settings.max_disk is not None and self.bytes_on_disk >= settings.max_disk

    def exit_code(self, settings: Settings) -> int:
        """Return the exit code of the command.

        Args:
            settings: Of the run; `fail_on` says which failures count.

        Returns:
            3 if a source or checkpoints failed as `fail_on` counts them, else 0.
        """
        every = self.failures or self.checkpoints["waiting"]
        counted = {"new": self.new_failures or self.problems, "any": every or self.problems, "none": ()}
        return 3 if counted[settings.fail_on] else 0

    def to_dict(self) -> dict[str, Any]:
        """Return the report as `sync --json` prints it."""
        return {
            "checkpoints": {name: self.checkpoints[name] for name in WORDS},
            "layers": self.layers,
            "kernels": self.kernels,
            "bytes_fetched": self.bytes_fetched,
            "bytes_offered": self.bytes_offered,
            "requests": self.requests,
            "retries": self.retries,
            "seconds": self.seconds,
            "left": self.n_left,
            "failures": self.failures,
            "problems": self.problems,
            "ignored": dict(sorted(self.ignored.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "empty": self.empty,
            "removed": sorted(self.removed_models),
            "restricted": self.restricted_to_dict(),
            "sources": {source: cost.to_dict() for source, cost in sorted(self.by_source.items())},
        }

    def restricted_to_dict(self) -> dict[str, dict[str, str]]:
        """Return the reasons of what gives no access any more, by model id, of what is `kept` and what is `removed`."""
        groups: dict[str, dict[str, str]] = {"kept": {}, "removed": {}}
        for model_id, reason in self.restricted.items():
            groups["removed" if model_id in self.dropped else "kept"][model_id] = reason
        return groups

    def restricted_lines(self) -> list[str]:
        """Return a line for each of the two groups of `restricted_to_dict`, with the most frequent reasons."""
        lines = []
        for verb, group in self.restricted_to_dict().items():
            if group:
                reasons = Counter(group.values()).most_common(_MAX_REASONS)
                what = f"no longer accessible, {verb}: {format_plural(len(group), 'checkpoint')}"
                lines.append(f"{what} ({escape_control(format_counts(dict(reasons)))})")
        return lines

    def __str__(self) -> str:
        counts = ", ".join(
            f"{format_count(self.checkpoints[word])} {LABELS[word]}" for word in WORDS[1:] if self.checkpoints[word]
        )
        lines = [f"checkpoints: {counts or 'none'}"]
        for selector, problem in self.problems.items():
            lines.append(f"source {escape_control(selector)} did not finish its listing: {escape_control(problem)}")
        lines += [f"{escape_control(selector)}: {escape_control(what)}" for selector, what in self.empty.items()]
        lines += [*self.skip_lines(), *self.restricted_lines()]
        for model_id, reason in self.failures.items():
            lines.append(f"failed: {escape_control(model_id)}: {escape_control(reason)}")
        if self.n_left:
            lines.append(f"{format_count(self.n_left)} left for the next run")
        written = f"{format_plural(self.layers, 'layer')} and {format_plural(self.kernels, 'kernel')}"
        lines.append(f"{written} written in {self.seconds:.1f} s")
        return "\n".join(lines)

    def skip_lines(self) -> list[str]:
        """Return a line with the most frequent reasons for which checkpoints were skipped; none if none was."""
        if not self.skipped:
            return []
        shown = dict(self.skipped.most_common(_MAX_REASONS))
        more = len(self.skipped) - len(shown)
        rest = f", and {format_plural(more, 'more reason')}; `filtercrawl status` names all" if more else ""
        return [f"skipped: {escape_control(format_counts(shown))}{rest}"]

    def _repr_html_(self) -> str:
        """Return the report as HTML, for notebooks."""
        counts = {word: format_count(self.checkpoints[word]) for word in WORDS if self.checkpoints[word]}
        totals = {
            "layers": format_count(self.layers),
            "kernels": format_count(self.kernels),
            "bytes read or fetched": format_size(self.bytes_fetched),
            "size of their files": format_size(self.bytes_offered),
            "requests": format_count(self.requests),
            "seconds": f"{self.seconds:.1f}",
            "left for the next run": format_count(self.n_left),
        }
        tables = [html_table("checkpoints", counts), html_table("run", totals)]
        if self.problems:
            tables.append(html_table("incomplete listings", self.problems))
        if self.empty:
            tables.append(html_table("selectors without checkpoints", self.empty))
        if self.failures:
            tables.append(html_table("failures", self.failures))
        return "".join(tables)


def describe_empty(listing: Listing) -> str:
    """Say of a complete listing without checkpoints what is there, and what to do."""
    skipped = Counter(skip.reason for skip in listing.skipped)
    told = f"; ignored: {format_counts(listing.ignored)}" if listing.ignored else ""
    told += f"; skipped: {format_counts(skipped)}" if skipped else ""
    if listing.selector.on_this_machine:
        advice = "name a folder with files of weights, or one file to see why it is not read"
    else:
        advice = "`filtercrawl sources` tells what it offers"
    return f"no checkpoint was found{told}; {advice}"
