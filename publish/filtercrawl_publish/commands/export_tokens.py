"""The command `export tokens`: write networks as token sequences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import JsonOption, print_report
from filtercrawl.config import resolve


def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write.", show_default=False)],
    dataset: Annotated[str | None, typer.Option(metavar="DIR|REPO", help="A folder or org/name[@revision].")] = None,
    token_size: Annotated[
        int, typer.Option(metavar="N", min=0, help="Numbers of a token; 0 for those of each model's longest filter.")
    ] = 288,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="A condition over the columns of index, such as depthwise.")
    ] = None,
    view: Annotated[str, typer.Option(metavar="raw|effective", help="Which weights.")] = "raw",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing folder.")] = False,
    json: JsonOption = False,
) -> None:
    """Write whole networks as token sequences, for models that learn from weights.

    The convolutions of each network in one file, as SANE's training reads them, with labels, and splits that share no
    kin. The same dataset and options give the same bytes.
    """
    from filtercrawl_publish.export.tokens import TokenOptions, write_tokens

    options = TokenOptions(token_size=token_size, where=where, view=view)
    with tqdm(unit="model", leave=False, disable=not sys.stderr.isatty(), file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = write_tokens(
            dataset or resolve({}).require_folder(), folder, options, replace=force, progress=progress
        )
    print_report(report, as_json=json)


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="export tokens", run=run)
