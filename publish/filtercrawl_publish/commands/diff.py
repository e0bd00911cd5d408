"""The command `diff`: what is different between two versions or folders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from filtercrawl.api.formatting import escape_control
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import JsonOption, print_json


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A folder, org/name or org/name@VERSION.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="What to compare it with.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Say what changed from A to B: checkpoints, duplicates, licences, columns, kernels, and how far statistics moved.

    Reads the tables and no weight. Explained variance and drift are those of trained 3x3 kernels of final checkpoints,
    each distinct layer once, from their sketches. For example: filtercrawl diff org/kernels@v2026.11.22 org/kernels.
    """
    from filtercrawl_publish.diff.compare import compare_snapshots
    from filtercrawl_publish.diff.fetch import fetch_tables
    from filtercrawl_publish.diff.snapshot import DatasetSnapshot
    from filtercrawl_publish.diff.text import format_difference, heading

    with ExitStack() as stack:
        folders = [
            fetch_tables(text, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="filtercrawl-"))))
            for text in (a, b)
        ]
        found = compare_snapshots(
            *(DatasetSnapshot.open(folder, text) for folder, text in zip(folders, (a, b), strict=True))
        )
    if as_json:
        print_json(found.as_json())
        return
    typer.echo(f"from {escape_control(a)} to {escape_control(b)}: {heading(found)}")
    for line in format_difference(found, escape_control) if found else ("no difference",):
        typer.echo(line)


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="diff", run=diff)
