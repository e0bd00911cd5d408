"""Report of one release, for people, for machines (`analysis/run.json`) and for notifications."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Literal

import pyarrow.compute as pc

from filtercrawl.api.formatting import escape_control
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import write_text
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.table_files import has_table
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.display import html_table
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.report import WORDS, SyncReport
from filtercrawl_publish.publishing.options import SpaceResult

__all__ = ["ReleaseOutcome", "ReleaseReport", "private_texts"]

logger = logging.getLogger(__name__)

# incomplete: the exit code is 3, whether or not a version was published.
ReleaseOutcome = Literal["published", "unchanged", "planned", "incomplete", "refused", "busy", "stopped", "error"]


@dataclass(kw_only=True)
class ReleaseReport:
    """What a release did; filled step by step, so that it is complete as far as the release came.

    Attributes:
        repository: Its name, as given.
        started: Timezone-aware.
        settings: The settings used, including those of an applied plan.
        selectors: What was synced.
        private_texts: Texts that identify this machine, such as paths; they are removed from everything written.
        outcome: How it ended.
        exit_code: Of the command.
        base_version: The version that it continued; None for the first one.
        version: The version that it published.
        finished: The version that an earlier run had committed and not tagged, and that has its tag now.
        warnings: Problems that did not prevent publishing.
        space: What became of the Space; None where there is to be none.
        reason: Why nothing was published.
        sync_report: Of the sync.
        failed_models: Reason by id of all models that failed, in this run or before.
        failed_analyses: Reason by name.
        kept_analyses: Names of those whose results are of an earlier version.
        repository_requests: Requests to the repository.
        seconds: Duration by step.
    """

    repository: str
    started: datetime
    settings: Settings
    selectors: Sequence[str] = ()
    private_texts: tuple[str, ...] = ()
    outcome: ReleaseOutcome = "error"
    exit_code: int = 1
    base_version: str | None = None
    version: str | None = None
    finished: str | None = None
    warnings: Sequence[str] = ()
    space: SpaceResult | None = None
    reason: str | None = None
    sync_report: SyncReport = field(default_factory=SyncReport)
    failed_models: Mapping[str, str | None] = field(default_factory=dict)
    failed_analyses: Mapping[str, str] = field(default_factory=dict)
    kept_analyses: Sequence[str] = ()
    repository_requests: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Record how long a step takes, also if it raises."""
        start = time.monotonic()
        try:
            yield
        finally:
            seconds = self.seconds[step] = round(time.monotonic() - start, 3)
            fields = {"repository": self.repository, "step": step, "seconds": seconds}
            logger.info("%s: %s ended after %.1f s", self.repository, step, seconds, extra=fields)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of run.json."""
        report = self.sync_report
        content = {
            "command": "release", "repo": self.repository, "selectors": list(self.selectors),
            "filtercrawl_version": installed_version("filtercrawl"),
            "started": self.started.isoformat(timespec="seconds"),
            "outcome": self.outcome, "exit_code": self.exit_code,
            "base": self.base_version, "version": self.version, "finished": self.finished,
            "why": self.reason, "warnings": list(self.warnings),
            "space": self.space.to_dict() if self.space else None,
            "checkpoints": {word: report.checkpoints[word] for word in WORDS},
            "layers": report.layers, "kernels": report.kernels,
            "bytes_fetched": report.bytes_fetched, "bytes_offered": report.bytes_offered,
            "requests": report.requests, "requests_to_repo": self.repository_requests,
            "left": report.n_left, "deferred": report.deferred, "removed": sorted(report.removed_models),
            "restricted": report.restricted_to_dict(),
            "failures": {
                "new": {model_id: report.failures[model_id] for model_id in sorted(report.new_failures)},
                "all": dict(sorted(self.failed_models.items())),
            },
            "missing": report.problems, "analyses_left_out": dict(self.failed_analyses),
            "analyses_kept": list(self.kept_analyses),
            "sources": {source: cost.to_dict() for source, cost in sorted(report.by_source.items())},
            "seconds": {**self.seconds, "total": round(sum(self.seconds.values()), 3)},
        }  # fmt: skip
        public: dict[str, Any] = self._without_private_texts(content)
        return public

    def __str__(self) -> str:
        lines = [f"failed analysis: {name}: {reason}" for name, reason in self.failed_analyses.items()]
        if self.finished is not None:
            lines.append(f"finished {self.finished}, which an earlier run had committed and not tagged")
        if self.reason is not None:
            lines.append(self.reason)
        if self.version is not None:
            lines.append(f"published {self.version}: {self.repository}")
        if self.space is not None:
            lines.append(str(self.space))
        return "\n".join(map(escape_control, lines))

    def _repr_html_(self) -> str:
        report = self.sync_report
        facts = {
            "last version": self.base_version,
            "version": self.version,
            "reason": self.reason,
            "checkpoints": ", ".join(
                f"{report.checkpoints[word]:,} {word}" for word in WORDS if report.checkpoints[word]
            ),
            "layers": f"{report.layers:,}",
            "kernels": f"{report.kernels:,}",
            "warnings": "; ".join(self.warnings),
            "Space": str(self.space or ""),
        }
        return html_table(f"{self.repository}: {self.outcome}", {k: v for k, v in facts.items() if v})

    def write(self, dataset: Path) -> None:
        """Write run.json into the folder `analysis`, atomically; does nothing where a run left no folder."""
        if (dataset / HIDDEN).is_dir() or (dataset / "data").is_dir():
            write_text(dataset / manifest.RUN, dataset, json.dumps(self.to_dict(), indent=1) + "\n")

    def read_failed_models(self, dataset: Path) -> None:
        """Set `failed_models` from the dataset's table `models`."""
        if has_table(dataset, "models"):
            table = DatasetFolder(dataset).table("models", ["model_id", "reason", "outcome"])
            rows = table.filter(pc.equal(table["outcome"], "failed"))
            self.failed_models = dict(zip(rows["model_id"].to_pylist(), rows["reason"].to_pylist(), strict=True))

    def _without_private_texts(self, value: Any) -> Any:
        if isinstance(value, str):
            for text in self.private_texts:
                value = value.replace(text, "…")
            return value
        if isinstance(value, Mapping):
            return {self._without_private_texts(key): self._without_private_texts(item) for key, item in value.items()}
        return [self._without_private_texts(item) for item in value] if isinstance(value, list | tuple) else value


def private_texts(selectors: Sequence[str], paths: Sequence[Path], plugins: Plugins) -> tuple[str, ...]:
    """Return the texts that identify this machine: absolute paths, and patterns of local selectors; longest first."""
    texts = {text for path in paths for text in (str(path), str(path.resolve())) if Path(text).is_absolute()}
    for selector_text in selectors:
        selector = Selector.parse(selector_text, plugins)
        if selector.on_this_machine and selector.pattern is not None:
            texts |= {selector.pattern, selector_text.partition(":")[2]}
    return tuple(sorted((text for text in texts if text.strip("./~")), key=len, reverse=True))
