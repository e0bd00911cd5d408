"""The command `compare`, a thin layer over `filtercrawl_analysis.compare`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import JsonOption, print_json
from filtercrawl.cli.progress import open_command_progress

_WHAT: Final = "A file, a selector of one checkpoint, or with --dataset a model id."


def compare(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help=_WHAT)],
    b: Annotated[str, typer.Argument(metavar="B", help=_WHAT)],
    dataset: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Find models in this dataset, by their id.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the table of layers into this file.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare two checkpoints layer by layer, and tell whether one was made from the other. Needs no dataset.

    Convolutions of every kernel size are compared, including 1x1 and transposed ones; with --dataset, those that the
    dataset holds, by default of more than one tap. Layers correspond by name and shape, the others by shape and order.

    For example: filtercrawl compare base.safetensors tuned.safetensors
    """
    # torch takes seconds to import: not before the arguments are known to be right.
    from filtercrawl_analysis.comparison.compare import compare as compare_checkpoints

    with open_command_progress("comparing") as bar:
        report = compare_checkpoints(a, b, dataset=dataset, progress=bar, plugins=context.obj)
    if out is not None:
        report.write(out)
    if json:
        print_json(report.to_dict())
    else:
        typer.echo(str(report))


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    """Register the command `compare`."""
    yield Command(name="compare", run=compare)
