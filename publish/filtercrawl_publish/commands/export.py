"""The command `export cnn-filter-db`: write kernels in the layout of CNN Filter DB."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from filtercrawl.api.errors import PolicyError
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import DatasetOption, JsonOption
from filtercrawl.config import resolve


def run(
    file: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    dataset: DatasetOption = None,
    source: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only models of this source; may be repeated.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(metavar="TASK", help="Only models of this task; may be repeated.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only models whose id or name matches, such as 'resnet*'."),
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Maximum number of models.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write 3x3 kernels in the layout of CNN Filter DB.

    HDF5 with /filters, float64 [N, 3, 3], and the pandas table /meta, as its notebook loads them. Takes learned 3x3
    kernels of 2-D convolutions, transposed ones left out, of final checkpoints.
    """
    from filtercrawl_publish.export.cnn_filter_db import ExportSelection, select_models, write_export

    if file.exists() and not force:
        raise PolicyError(f"{file} exists; --force replaces it")
    selection = ExportSelection(
        sources=tuple(source or ()), tasks=tuple(task or ()), patterns=tuple(model or ()), limit=limit
    )
    folder = resolve({"dataset": dataset}).require_folder()
    models = select_models(folder, selection)
    total = sum(model.kernels for model in models)
    with typer.progressbar(length=total, label=f"{total:,} kernels", file=sys.stderr) as bar:
        result = write_export(folder, models, file, bar.update)
    content = {"file": str(file), "layout": "cnn-filter-db", "models": len(models), "layers": result.layers}
    if as_json:
        typer.echo(json.dumps(content | {"kernels": result.kernels}))
    else:
        counts = f"{result.kernels:,} kernels of {result.layers:,} layers in {len(models):,} models"
        typer.echo(f"{file}: {counts}")


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="export cnn-filter-db", run=run)
