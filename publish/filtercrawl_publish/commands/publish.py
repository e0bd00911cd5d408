"""The command `publish`: one atomic, verified, tagged version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

import filtercrawl_publish
from filtercrawl.api.formatting import escape_control
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import DatasetOption, JsonOption, SignKeyOption, SpaceOption, print_json, setting_option
from filtercrawl.cli.progress import open_command_progress


def run(
    repo: Annotated[
        str, typer.Argument(help="A dataset repository, `org/name`, or a folder, `./name`.", show_default=False)
    ],
    version: Annotated[
        str | None, typer.Option(metavar="V", help="The version's name.", show_default="vYYYY.MM.DD in UTC")
    ] = None,
    dataset: DatasetOption = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Publish also over something else, and over what others have published."),
    ] = False,
    max_disk: Annotated[
        str | None,
        setting_option("max_disk", text="Delete local layers that were uploaded, until all take at most this much."),
    ] = None,
    space: SpaceOption = None,
    sign_key: SignKeyOption = None,
    dry_run: Annotated[
        bool | None, setting_option("dry_run", text="Show what would be uploaded, and upload nothing.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Publish the dataset as one version: commit what is new, check that it loads, then tag it.

    May be killed at any moment and run again. Publishes nothing if nothing changed. Exit code 4: above a limit of the
    Hub, or the repository holds something else; 5: someone else published meanwhile.
    """
    with open_command_progress() as progress:
        result = filtercrawl_publish.publish(
            dataset,
            repo,
            version=version,
            dry_run=dry_run,
            replace=replace,
            sign_key=sign_key,
            max_disk=max_disk,
            space=space,
            progress=progress,
        )
        for warning in result.warnings:
            progress.message(f"warning: {warning}")
    if json:
        print_json(result.to_dict())
    else:
        typer.echo(escape_control(str(result)))


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="publish", run=run)
