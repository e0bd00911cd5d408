"""What a run did, for people and for `--json`."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # torch takes seconds to import, and a report needs none
    from collections.abc import Sequence

    from filtercrawl.config import Settings
    from filtercrawl.pipeline.crawling.result import Crawled
    from filtercrawl.pipeline.discovery.discover import Listing
    from filtercrawl.pipeline.planning.approval import Approval
    from filtercrawl.pipeline.planning.estimate import Expected
    from filtercrawl.pipeline.planning.types import Plan, Todo

# What can be said of checkpoints, in the order in which it is told.
WORDS: Final = (
    "discovered", "new", "changed", "retry", "unchanged", "removed", "renamed", "duplicate", "failed", "skipped",
    "waiting", "ignored",
)  # fmt: skip


@dataclass(kw_only=True)
class Cost:
    """What checkpoints cost. bytes: read or fetched, of so many that their files have; requests: sent for them.

    whole: how many were fetched in full, for most of their bytes are wanted. at_most: in a dry run, how many are of an
    architecture that nothing tells: their bytes are those of the whole files, and their requests are not counted.
    """

    checkpoints: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    of: int = 0
    requests: int = 0
    whole: int = 0
    at_most: int = 0

    @property
    def share(self) -> float | None:
        """The share of the files that is fetched; None where none is, or a small one was looked at again."""
        return self.bytes / self.of if 0 < self.bytes <= self.of else None

    def as_json(self) -> dict[str, Any]:
        counts = {word: self.checkpoints[word] for word in ("new", "changed", "retry", "removed", "renamed")}
        share = None if self.share is None else round(self.share, 6)
        return counts | {
            "bytes": self.bytes, "bytes_offered": self.of, "share": share, "requests": self.requests,
            "whole": self.whole, "at_most": self.at_most,
        }  # fmt: skip


@dataclass(kw_only=True)
class Report:
    """Counts of one run.

    checkpoints: discovered = all that the sources offered, skipped ones included; new and changed = read for the
    first time or again, whatever became of them; duplicate, failed and renamed = of those. layers, kernels: emitted
    in this run. bytes_offered: the size of the files that were read. bytes_on_disk: of the layers that lie here.
    left: still to do after a limit. by_source: what each source's checkpoints cost, or are expected to in a dry run.
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
    left: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    new_failures: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
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
        report.left = len(plan.todo)
        return report

    def expect(self, todo: Todo, found: Expected) -> None:
        """Take in what one checkpoint is expected to cost."""
        self.checkpoints[todo.why] += 1
        cost = self._cost(todo)
        cost.bytes += found.bytes or 0
        cost.of += found.size or found.bytes or 0
        cost.requests += found.requests or 0
        cost.whole += found.whole
        cost.at_most += found.requests is None

    def _cost(self, todo: Todo) -> Cost:
        cost = self.by_source.setdefault(todo.source, Cost())
        cost.checkpoints[todo.why] += 1
        return cost

    def count(self, crawled: Crawled, became: str) -> None:
        """Take in one checkpoint."""
        todo = crawled.todo
        self.checkpoints["unchanged" if became == "unchanged" and todo.why == "changed" else todo.why] += 1
        self.bytes_fetched += crawled.bytes_fetched
        offered = crawled.file_bytes or sum(file.size or 0 for file in todo.checkpoint.files)
        self.bytes_offered += offered
        cost = self._cost(todo)
        cost.bytes += crawled.bytes_fetched
        cost.of += offered
        cost.requests += crawled.requests
        cost.whole += crawled.whole
        if became in ("duplicate", "failed", "renamed"):
            self.checkpoints[became] += 1
        if became == "renamed":
            self.checkpoints["new"] -= 1
            cost.checkpoints.update(new=-1, renamed=1)
        if crawled.reason is not None:
            self.failures[todo.model_id] = crawled.reason
            if todo.known is None or todo.known["reason"] is None:
                self.new_failures.append(todo.model_id)
        if became == "emitted" and crawled.shard is not None:
            emitted = [row for row in crawled.shard.rows if row["layer_sha256"] is not None]
            self.bytes_on_disk += crawled.shard.size
            self.layers += len(emitted)
            self.kernels += sum(row["n_kernels"] for row in emitted)

    def removed(self, model_id: str, source: str) -> None:
        self.checkpoints["removed"] += 1
        self.by_source.setdefault(source, Cost()).checkpoints["removed"] += 1
        self.gone.append(model_id)

    def spent(self, settings: Settings, deadline: float | None) -> bool:
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
            "left": self.left,
            "failures": self.failures,
            "problems": self.problems,
            "removed": sorted(self.gone),
            "sources": {source: cost.as_json() for source, cost in sorted(self.by_source.items())},
        }
