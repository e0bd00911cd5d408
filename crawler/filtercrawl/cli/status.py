"""`filtercrawl status`: what the dataset holds; what failed or was skipped, and why."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from filtercrawl.api.errors import DatasetError
from filtercrawl.api.formatting import escape_control, format_count, format_plural
from filtercrawl.cli.options import DatasetOption, JsonOption, print_json
from filtercrawl.config import resolve

if TYPE_CHECKING:
    from filtercrawl.dataset.schema.model_row import ModelRow


def run(dataset: DatasetOption = None, json: JsonOption = False) -> None:
    """Show what the dataset holds, what failed or was skipped, and why."""
    from filtercrawl.dataset.catalog import Catalog
    from filtercrawl.dataset.files.layout import HIDDEN

    folder = resolve({"dataset": dataset}).dataset
    if not (folder / HIDDEN / "catalog.sqlite").is_file():
        raise DatasetError(f"{folder}: no dataset here; `filtercrawl sync SELECTOR --dataset {folder}` makes one")
    with Catalog(folder) as catalog:
        rows = list(catalog.models())
    found = summary(rows)
    if json:
        print_json({"dataset": str(folder), **found})
        return
    typer.echo(
        f"{folder}: {format_plural(len(rows), 'checkpoint')}, "
        f"{format_plural(found['layers'], 'layer')}, {format_plural(found['kernels'], 'kernel')}"
    )
    for source, outcomes in found["sources"].items():
        typer.echo(
            f"  {source}: " + ", ".join(f"{format_count(count)} {outcome}" for outcome, count in outcomes.items())
        )
    for what in ("failed", "skipped"):
        for model_id, reason in found[what].items():
            typer.echo(f"{what}: {escape_control(model_id)}: {escape_control(reason)}")


def summary(rows: list[ModelRow]) -> dict[str, Any]:
    """Count checkpoints by source and outcome, and collect the reasons of those that are not in the dataset."""
    sources: dict[str, Counter[str]] = {}
    for row in rows:
        sources.setdefault(row.source, Counter())[row.outcome] += 1
    emitted = [row for row in rows if row.layers_file is not None]
    return {
        "checkpoints": len(rows),
        "layers": sum(row.n_layers or 0 for row in emitted),
        "kernels": sum(row.n_kernels or 0 for row in emitted),
        "sources": {source: dict(sorted(outcomes.items())) for source, outcomes in sorted(sources.items())},
        **{what: {row.model_id: row.reason for row in rows if row.outcome == what} for what in ("failed", "skipped")},
    }
