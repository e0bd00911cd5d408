"""`filtercrawl inspect`: every tensor of one checkpoint, emitted or skipped, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from filtercrawl.api.formatting import escape_control, format_plural
from filtercrawl.cli.options import JsonOption, KernelSizeOption, print_json, setting_option
from filtercrawl.config import resolve
from filtercrawl.python_api.inspect import selector_of


def run(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="FILE|SELECTOR", help="A file, or a selector of one checkpoint.")],
    kernel_size: KernelSizeOption = None,
    structure: Annotated[
        bool, typer.Option("--structure", help="Show the layers of the architecture without reading weights.")
    ] = False,
    memory_limit: Annotated[
        str | None, setting_option("memory_limit", text="Give up if reading takes this much memory.")
    ] = None,
    cpu_limit: Annotated[
        str | None, setting_option("cpu_limit", text="Give up if reading takes this much CPU time.")
    ] = None,
    reading_limit: Annotated[
        str | None,
        setting_option(
            "reading_limit",
            text="Give up if reading the structure (headers, names, graphs) takes this much CPU time, and 0.25s more "
            "for each megabyte.",
        ),
    ] = None,
    stall_timeout: Annotated[
        str | None, setting_option("stall_timeout", text="Give up if reading takes this much time.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show every tensor of one checkpoint: emitted or skipped, and why. Writes nothing.

    For example: filtercrawl inspect model.pth, or filtercrawl inspect timm:resnet18 --structure.
    """
    from filtercrawl.pipeline import inspect

    limits = {
        "memory_limit": memory_limit,
        "cpu_limit": cpu_limit,
        "reading_limit": reading_limit,
        "stall_timeout": stall_timeout,
    }
    settings = resolve({"kernel_size": kernel_size, **limits})
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
