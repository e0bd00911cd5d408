"""The command `migrate`: a dataset of an older version becomes one of this version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import typer

from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import DatasetOption, JsonOption, print_json
from filtercrawl.config import resolve


def migrate(dataset: DatasetOption = None, as_json: JsonOption = False) -> None:
    """Bring a dataset that an older filtercrawl wrote to this one's schema, in place.

    Columns that were added since are null until their checkpoints are read again; files of layers are not touched.
    May be killed at any moment and run again. `sync` and `release` do this by themselves where they write.
    """
    from filtercrawl.dataset import migrate as migration

    settings = resolve({"dataset": dataset})
    found = migration.migrate_dataset(settings)
    if as_json:
        print_json({"dataset": str(settings.dataset), **asdict(found)})
        return
    for path, columns in found.added.items():
        typer.echo(f"{path}: added {', '.join(columns)}")
    if not found.changed:
        typer.echo(f"{settings.dataset}: has this version's schema already")


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="migrate", run=migrate)
