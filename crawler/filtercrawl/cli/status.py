"""`filtercrawl status`: what the dataset holds; what failed or was skipped, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from filtercrawl.cli.options import DatasetOption, JsonOption, print_json
from filtercrawl.python_api.status import status

FailedOption = Annotated[
    bool, typer.Option("--failed", help="Show what failed by cause, with examples and what to do.")
]
RunsOption = Annotated[bool, typer.Option("--runs", help="Show the last runs, and what of them is getting worse.")]


def run(
    dataset: DatasetOption = None, failed: FailedOption = False, runs: RunsOption = False, json: JsonOption = False
) -> None:
    """Show what the dataset holds, what failed or was passed over, and why."""
    found = status(dataset)
    groups = found.failures if failed else []
    if not failed and not runs:
        if json:
            print_json(found.to_dict())
        else:
            typer.echo(str(found))
        return
    if json:
        shown = {"failures": [group.to_dict() for group in groups]} if failed else {}
        print_json(shown | (found.runs.to_dict() if runs else {}))
        return
    if failed:
        typer.echo("\n".join(map(str, groups)) or "nothing failed")
    if runs:
        typer.echo(str(found.runs))
