"""The Python function behind `filtercrawl.status`: what a dataset folder holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.formatting import escape_control, format_count, format_counts, format_plural
from filtercrawl.config import resolve
from filtercrawl.display import html_table
from filtercrawl.python_api.failures import FailureGroup, group_failures
from filtercrawl.python_api.run_history import RunHistory

if TYPE_CHECKING:
    from filtercrawl.dataset.schema.listing_rows import SourceRow
    from filtercrawl.dataset.schema.model_row import ModelRow
    from filtercrawl.dataset.schema.run_row import RunRow

# Names that are shown of checkpoints that were passed over for one reason.
_EXAMPLES: Final = 3


@dataclass(frozen=True, kw_only=True)
class DatasetStatus:
    """What a dataset folder holds, and what is not in it.

    Attributes:
        dataset: The folder, or the URL of an object store.
        checkpoints: Checkpoints that were ever seen.
        layers: Layers of emitted checkpoints.
        kernels: Kernels of emitted checkpoints.
        sources: For each source, how many checkpoints had each outcome.
        failed: Reason by model id of the checkpoints that failed.
        skipped: Reason by model id of the checkpoints that were skipped.
        names_code: By model id, the functions that loading the files of a checkpoint elsewhere would run.
        ignored: Number of files in listed folders that are no weights, by what they are.
        runs: The last runs, and what of them is getting worse.
    """

    dataset: Path | str
    checkpoints: int
    layers: int
    kernels: int
    sources: Mapping[str, Mapping[str, int]]
    failed: Mapping[str, str | None]
    skipped: Mapping[str, str | None]
    ignored: Mapping[str, int]
    names_code: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    runs: RunHistory = field(default_factory=lambda: RunHistory.of(()))

    @classmethod
    def of(
        cls,
        dataset: Path | str,
        rows: Iterable[ModelRow],
        listings: Iterable[SourceRow] = (),
        runs: Sequence[RunRow] = (),
    ) -> DatasetStatus:
        """Count the rows of `models`, and what the listings ignored."""
        rows = list(rows)
        sources: dict[str, Counter[str]] = {}
        for row in rows:
            sources.setdefault(row.source, Counter())[row.outcome] += 1
        emitted = [row for row in rows if row.layers_file is not None]
        return cls(
            dataset=dataset,
            checkpoints=len(rows),
            layers=sum(row.n_layers or 0 for row in emitted),
            kernels=sum(row.n_kernels or 0 for row in emitted),
            sources={source: dict(sorted(outcomes.items())) for source, outcomes in sorted(sources.items())},
            failed={row.model_id: row.reason for row in rows if row.outcome == "failed"},
            skipped={row.model_id: row.reason for row in rows if row.outcome == "skipped"},
            names_code={row.model_id: row.state.code for row in rows if row.state.code},
            ignored=sum((Counter(json.loads(listing.ignored or "{}")) for listing in listings), Counter()),
            runs=RunHistory.of(runs),
        )

    @property
    def failures(self) -> list[FailureGroup]:
        """The checkpoints that failed, by cause, with what to do; the most frequent cause first."""
        return group_failures(self.failed)

    def to_dict(self) -> dict[str, Any]:
        """Return the output of `filtercrawl status --json`."""
        return {
            "dataset": str(self.dataset),
            "checkpoints": self.checkpoints,
            "layers": self.layers,
            "kernels": self.kernels,
            "sources": {source: dict(outcomes) for source, outcomes in self.sources.items()},
            "failed": dict(self.failed),
            "skipped": dict(self.skipped),
            "ignored": dict(self.ignored),
            "names_code": {name: list(code) for name, code in self.names_code.items()},
            "worsening": self.runs.to_dict()["worsening"],
        }

    def __str__(self) -> str:
        lines = [
            f"{self.dataset}: {format_plural(self.checkpoints, 'checkpoint')}, "
            f"{format_plural(self.layers, 'layer')}, {format_plural(self.kernels, 'kernel')}"
        ]
        lines += [f"  {source}: {_counts(outcomes)}" for source, outcomes in self.sources.items()]
        lines += [f"failed: {escape_control(name)}: {escape_control(why)}" for name, why in self.failed.items()]
        lines += [f"passed over: {line}" for line in _by_reason(self.skipped)]
        lines += [
            f"{escape_control(name)}: names {', '.join(code)}; not run"
            for name, code in self.names_code.items()
            if not (self.failed.get(name) or "").startswith(f"names {code[0]}")  # or its failure says so
        ]
        if self.ignored:
            lines.append(f"ignored: {escape_control(format_counts(self.ignored))}")
        lines += [f"getting worse: {found}" for found in self.runs.worsening or ()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        totals = {
            "checkpoints": format_count(self.checkpoints),
            "layers": format_count(self.layers),
            "kernels": format_count(self.kernels),
        }
        sources = {source: _counts(outcomes) for source, outcomes in self.sources.items()}
        tables = [html_table(str(self.dataset), totals | sources)]
        tables += [
            html_table(name, rows) for name, rows in (("failed", self.failed), ("skipped", self.skipped)) if rows
        ]
        if self.runs.runs:
            tables.append(html_table("last run", _last_run(self.runs.runs[-1])))
        return "".join(tables)


def status(dataset: str | PathLike[str] | None = None) -> DatasetStatus:
    """Tell what a dataset folder holds, and what failed or was skipped and why.

    Args:
        dataset: The dataset folder or the URL of an object store, by default `filtercrawl-dataset` or the one that the
            settings name.

    Raises:
        DatasetError: The folder holds no dataset that was written here.
        NetworkError: The object store cannot be reached or refuses.

    Example:
        >>> filtercrawl.status("kernels").failed
    """
    from filtercrawl.dataset.catalog import Catalog
    from filtercrawl.dataset.files.dataset_folder import no_dataset
    from filtercrawl.dataset.files.unpublished import CATALOG
    from filtercrawl.dataset.object_store.session import stored_dataset

    settings = resolve({"dataset": dataset}, keywords=True)
    folder = settings.dataset
    with stored_dataset(settings, read_only=True):
        if not (folder / CATALOG).is_file():
            raise no_dataset(folder)
        with Catalog(folder) as catalog:
            return DatasetStatus.of(
                settings.dataset_url or folder, catalog.models(), catalog.sources(), list(catalog.runs())
            )


def _by_reason(skipped: Mapping[str, str | None]) -> list[str]:
    """Say how many checkpoints were passed over for which reason, the most frequent first, with some names."""
    names: dict[str, list[str]] = {}
    for name, reason in sorted(skipped.items()):
        names.setdefault(reason or "for an unknown reason", []).append(name)
    lines = []
    for reason, group in sorted(names.items(), key=lambda item: (-len(item[1]), item[0])):
        more = "" if len(group) <= _EXAMPLES else ", ..."
        shown = f"{', '.join(group[:_EXAMPLES])}{more}"
        lines.append(f"{format_count(len(group))}, {escape_control(reason)}: {escape_control(shown)}")
    return lines


def _last_run(row: RunRow) -> Mapping[str, str]:
    return {
        "started": f"{row.started:%Y-%m-%d %H:%M}",
        "outcome": row.outcome or "not ended",
        "seconds": f"{row.seconds:.1f}",
        "requests": format_count(row.requests),
        "failed": format_count(row.failed),
    }


def _counts(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{format_count(count)} {outcome}" for outcome, count in outcomes.items())
