"""The command `rollback`: publish the content of an earlier version as a new version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

import filtercrawl_publish
from filtercrawl.api.formatting import escape_control
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import JsonOption, print_json
from filtercrawl.cli.progress import open_command_progress


def run(
    repo: Annotated[
        str, typer.Argument(help="A dataset repository, `org/name`, or a folder, `./name`.", show_default=False)
    ],
    version: Annotated[str, typer.Argument(help="The version to go back to.", show_default=False)],
    name: Annotated[
        str | None, typer.Option("--version", metavar="V", help="The new version's name.", show_default="the day's")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Publish the content of an earlier version as a new version: no tag moves, no history is lost.

    Downloads only small files. May be killed at any moment and run again. Dataset folders are not changed; the next
    `release` continues from the new version.
    """
    with open_command_progress() as progress:
        result = filtercrawl_publish.rollback(repo, version, new_version=name, progress=progress)
        for warning in result.space.warnings if result.space else ():
            progress.message(f"warning: {warning}")
    if json:
        print_json(result.to_dict())
    else:
        typer.echo(escape_control(str(result)))


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="rollback", run=run)
