"""The Python function behind `filtercrawl.status`: what a dataset folder holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filtercrawl.api.formatting import escape_control, format_count, format_counts, format_plural
from filtercrawl.config import resolve
from filtercrawl.display import html_table

if TYPE_CHECKING:
    from filtercrawl.dataset.schema.listing_rows import SourceRow
    from filtercrawl.dataset.schema.model_row import ModelRow


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

    @classmethod
    def of(cls, dataset: Path | str, rows: Iterable[ModelRow], listings: Iterable[SourceRow] = ()) -> DatasetStatus:
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
        )

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
        }

    def __str__(self) -> str:
        lines = [
            f"{self.dataset}: {format_plural(self.checkpoints, 'checkpoint')}, "
            f"{format_plural(self.layers, 'layer')}, {format_plural(self.kernels, 'kernel')}"
        ]
        lines += [f"  {source}: {_counts(outcomes)}" for source, outcomes in self.sources.items()]
        for outcome, reasons in (("failed", self.failed), ("skipped", self.skipped)):
            lines += [f"{outcome}: {escape_control(name)}: {escape_control(why)}" for name, why in reasons.items()]
        lines += [f"{escape_control(name)}: names {', '.join(code)}; not run" for name, code in self.names_code.items()]
        if self.ignored:
            lines.append(f"ignored: {escape_control(format_counts(self.ignored))}")
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
            return DatasetStatus.of(settings.dataset_url or folder, catalog.models(), catalog.sources())


def _counts(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{format_count(count)} {outcome}" for outcome, count in outcomes.items())
