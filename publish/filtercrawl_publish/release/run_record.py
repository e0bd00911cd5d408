"""What one release did: for people, for machines, and for whoever is told at its end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Literal

import pyarrow.compute as pc

from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import write_text
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.pipeline.report import WORDS, SyncReport

# incomplete: exit code 3, whether or not a version was published.
Outcome = Literal["published", "unchanged", "planned", "incomplete", "refused", "busy", "stopped", "error"]


@dataclass(kw_only=True)
class RunRecord:
    """How far a release came.

    base, version: the last version and the one that was published. why: why none was. left_out: analyses that failed.
    private: texts of this machine, such as the path in a selector, that are never written.
    """

    repo: str
    started: datetime
    selectors: Sequence[str] = ()
    private: tuple[str, ...] = ()
    outcome: Outcome = "error"
    exit_code: int = 1
    base: str | None = None
    version: str | None = None
    warnings: Sequence[str] = ()
    why: str | None = None
    report: SyncReport = field(default_factory=SyncReport)
    failing: Mapping[str, str | None] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    requests_to_repo: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[step] = round(time.monotonic() - begun, 3)

    def as_json(self) -> dict[str, Any]:
        """Return what run.json holds."""
        report = self.report
        found = {
            "command": "release", "repo": self.repo, "selectors": list(self.selectors),
            "filtercrawl_version": installed("filtercrawl"), "started": self.started.isoformat(timespec="seconds"),
            "outcome": self.outcome, "exit_code": self.exit_code,
            "base": self.base, "version": self.version, "why": self.why, "warnings": list(self.warnings),
            "checkpoints": {word: report.checkpoints[word] for word in WORDS},
            "layers": report.layers, "kernels": report.kernels,
            "bytes_fetched": report.bytes_fetched, "bytes_offered": report.bytes_offered,
            "requests": report.requests, "requests_to_repo": self.requests_to_repo,
            "left": report.n_left, "deferred": report.deferred, "removed": sorted(report.removed_models),
            "failures": {
                "new": {model_id: report.failures[model_id] for model_id in sorted(report.new_failures)},
                "all": dict(sorted(self.failing.items())),
            },
            "missing": report.problems, "analyses_left_out": dict(self.left_out),
            "sources": {source: cost.to_dict() for source, cost in sorted(report.by_source.items())},
            "seconds": {**self.seconds, "total": round(sum(self.seconds.values()), 3)},
        }  # fmt: skip
        hidden: dict[str, Any] = self._hidden(found)
        return hidden

    def write(self, dataset: Path) -> None:
        """Write run.json beside the analyses, where a dataset is."""
        if (dataset / "data").is_dir():
            write_text(dataset / manifest.RUN, dataset, json.dumps(self.as_json(), indent=1) + "\n")

    def read_dataset(self, dataset: Path) -> None:
        """See which checkpoints the dataset says have failed, in this run or before."""
        if (dataset / "data/models.parquet").is_file():
            table = DatasetFolder(dataset).table("models", ["model_id", "reason", "outcome"])
            rows = table.filter(pc.equal(table["outcome"], "failed"))
            self.failing = dict(zip(rows["model_id"].to_pylist(), rows["reason"].to_pylist(), strict=True))

    def _hidden(self, value: Any) -> Any:
        """Leave out what is of this machine alone."""
        if isinstance(value, str):
            for text in self.private:
                value = value.replace(text, "…")
            return value
        if isinstance(value, Mapping):
            return {self._hidden(key): self._hidden(item) for key, item in value.items()}
        return [self._hidden(item) for item in value] if isinstance(value, list | tuple) else value
