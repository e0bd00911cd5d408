"""The command `migrate`: upgrade a dataset to the current schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import typer

from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import DatasetOption, JsonOption, print_json
from filtercrawl.config import resolve


def run(dataset: DatasetOption = None, as_json: JsonOption = False) -> None:
    """Upgrade a dataset that an older filtercrawl wrote to the current schema, in place.

    New columns are null until their checkpoints are read again; layers files are not changed. May be killed at any
    moment and run again. `sync` and `release` do this automatically.
    """
    from filtercrawl.dataset.migrate import migrate_dataset

    settings = resolve({"dataset": dataset})
    settings.require_folder()
    result = migrate_dataset(settings)
    if as_json:
        print_json({"dataset": str(settings.dataset), **asdict(result)})
        return
    for path, columns in result.added.items():
        typer.echo(f"{path}: added {', '.join(columns)}")
    if not result.changed:
        typer.echo(f"{settings.dataset}: has the current schema already")


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="migrate", run=run)
