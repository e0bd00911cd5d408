"""`filtercrawl inspect`: every tensor of one checkpoint, emitted or skipped, and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import escape_control, format_plural
from filtercrawl.cli.options import JsonOption, KernelSizeOption, print_json
from filtercrawl.config import resolve

if TYPE_CHECKING:
    from filtercrawl.pipeline.inspect import Inspection


def run(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="FILE|SELECTOR", help="A file, or a selector of one checkpoint.")],
    kernel_size: KernelSizeOption = None,
    structure: Annotated[
        bool, typer.Option("--structure", help="Show the layers of the architecture; no weight is read.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show every tensor of one checkpoint: emitted or skipped, and why. Writes nothing.

    For example: filtercrawl inspect model.pth, or filtercrawl inspect timm:resnet18 --structure.
    """
    from filtercrawl.pipeline import inspect

    settings = resolve({"kernel_size": kernel_size})
    selector = f"local:{what}" if Path(what).is_file() else what
    if ":" not in selector and selector not in context.obj.sources:
        known = ", ".join(sorted(context.obj.sources))
        raise UsageError(f"{what}: no such file, and no source of this name; installed are {known}")
    if structure:
        show_structure(inspect.inspect_structure(selector, context.obj, settings), json=json)
        return
    found = inspect.inspect(selector, context.obj, settings)
    if json:
        print_json(as_json(found))
        return
    typer.echo(f"{escape_control(found.name)}: {found.format}, {format_plural(len(found.tensors), 'tensor')}")
    width = max((len(row["tensor"]) for row in found.tensors), default=0)
    for row in found.tensors:
        shape = "x".join(map(str, row["shape"])) or "scalar"
        verdict = (
            f"emitted as {row['op']} {row['kernel']}" if row["outcome"] == "emitted" else f"skipped: {row['reason']}"
        )
        noted = f" ({escape_control(', '.join(row['notes']))})" if row["notes"] else ""
        typer.echo(
            f"  {escape_control(row['tensor']):<{min(width, 70)}}  {shape:<18} {row['dtype']:<9} {verdict}{noted}"
        )
    totals = Counter(row["reason"] or "emitted" for row in found.tensors)
    typer.echo(", ".join(f"{count:,} {word}" for word, count in totals.most_common()))


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


def as_json(found: Inspection) -> dict[str, Any]:
    return {"name": found.name, "format": found.format, "tensors": list(found.tensors)}
