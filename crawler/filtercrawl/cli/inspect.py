"""`filtercrawl inspect`: every tensor of one checkpoint, emitted or skipped, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from filtercrawl.api.formatting import escape_control, format_plural
from filtercrawl.cli.options import JsonOption, KernelSizeOption, print_json
from filtercrawl.config import resolve
from filtercrawl.python_api.inspect import selector_of


def run(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="FILE|SELECTOR", help="A file, or a selector of one checkpoint.")],
    kernel_size: KernelSizeOption = None,
    structure: Annotated[
        bool, typer.Option("--structure", help="Show the layers of the architecture without reading weights.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show every tensor of one checkpoint: emitted or skipped, and why. Writes nothing.

    For example: filtercrawl inspect model.pth, or filtercrawl inspect timm:resnet18 --structure.
    """
    from filtercrawl.pipeline import inspect

    settings = resolve({"kernel_size": kernel_size})
    selector = selector_of(what, context.obj)
    if structure:
        show_structure(inspect.inspect_structure(selector, context.obj, settings), json=json)
        return
    found = inspect.inspect(selector, context.obj, settings)
    if json:
        print_json(found.to_dict())
    else:
        typer.echo(str(found))


def show_structure(layers: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        print_json({"layers": layers})
        return
    for row in layers:
        depth = "-" if row["conv_depth"] is None else row["conv_depth"]
        shape = "x".join(map(str, row["shape"]))
        typer.echo(
            f"  {depth:>4}  {escape_control(row['layer']):<50} {row['op']:<17} {shape:<18} groups {row['groups']}"
        )
    typer.echo(
        f"{format_plural(len(layers), 'layer')}, {format_plural(sum(row['n_kernels'] for row in layers), 'kernel')}"
    )
