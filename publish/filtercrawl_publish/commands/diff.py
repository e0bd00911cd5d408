"""The command `diff`: compare two versions or folders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

import filtercrawl_publish
from filtercrawl.api.formatting import escape_control
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import JsonOption, print_json


def run(
    a: Annotated[str, typer.Argument(metavar="A", help="A folder, org/name or org/name@VERSION.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="What to compare it with.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Say what changed from A to B: checkpoints, duplicates, licenses, columns, kernels, and statistics.

    Reads tables only, no weights. Explained variance and drift are those of trained 3x3 kernels of final checkpoints,
    each distinct layer once, from their sketches. For example: filtercrawl diff org/kernels@v2026.11.22 org/kernels.
    """
    difference = filtercrawl_publish.diff(a, b)
    if as_json:
        print_json(difference.to_dict())
    else:
        typer.echo(f"from {escape_control(a)} to {escape_control(b)}: {difference}")


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="diff", run=run)
