"""The command `withdraw`: remove checkpoints from the dataset for good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

import filtercrawl_publish
from filtercrawl.api.errors import UsageError
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import DatasetOption, JsonOption, print_report
from filtercrawl.cli.progress import open_command_progress


def run(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[REPO] MODEL", help="Ids of `models`; before them the repository, unless --dataset is given."
        ),
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is published.", show_default=False)],
    dataset: DatasetOption = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete the files from the history too, and the versions with them.")
    ] = False,
    version: Annotated[
        str | None,
        typer.Option(metavar="V", help="The name of the version without them.", show_default="vYYYY.MM.DD in UTC"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Remove checkpoints from the dataset for good.

    They are not in the next release, are never read again, and `withdrawn` states why. With --dataset the folder is
    changed and nothing is published. Duplicates of a withdrawn checkpoint keep the weights: to remove these, name the
    duplicates too. --purge deletes the versions that contain the weights; it cannot be undone.
    """
    if dataset is None and len(names) < 2:
        raise UsageError("name the repository and then the checkpoints, or the folder with --dataset")
    repository, models = (None, names) if dataset is not None else (names[0], names[1:])
    with open_command_progress() as progress:
        result = filtercrawl_publish.withdraw(
            models, reason, repository=repository, dataset=dataset, version=version, purge=purge, progress=progress
        )
        for warning in result.space.warnings if result.space else ():
            progress.message(f"warning: {warning}")
    print_report(result, as_json=as_json)


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="withdraw", run=run)
