"""The command `verify`: check a dataset against itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import filtercrawl_publish
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import print_json


def run(
    dataset: Annotated[
        str, typer.Argument(metavar="X", help="A folder, org/name or org/name@VERSION.", show_default=False)
    ],
    weights: Annotated[
        bool, typer.Option("--weights", help="For a repository, download and read every weight, a file at a time.")
    ] = False,
    public_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Require a signature of the manifest by this key.", show_default=False),
    ] = None,
    load: Annotated[bool, typer.Option("--load/--no-load", help="Load every config with `datasets`.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a dataset: files, hashes, schemas, ids, links, ledger, sketches, every weight, every config.

    For a repository, the digests of weights are those that the Hub states, unless --weights is given. Exit code 1: the
    dataset is not sound.
    """
    report = filtercrawl_publish.verify(
        dataset,
        weights=weights,
        public_key=public_key,
        load=load,
        on_issue=None if as_json else lambda issue: typer.echo(str(issue)),
    )
    if as_json:
        print_json(report.to_dict())
    elif report.sound:
        typer.echo(str(report))
    if not report.sound:
        raise typer.Exit(1)


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="verify", run=run)
