"""`filtercrawl status`: what the dataset holds; what failed or was skipped, and why."""

from __future__ import annotations

import typer

from filtercrawl.cli.options import DatasetOption, JsonOption, print_json
from filtercrawl.python_api.status import status


def run(dataset: DatasetOption = None, json: JsonOption = False) -> None:
    """Show what the dataset holds, what failed or was skipped, and why."""
    found = status(dataset)
    if json:
        print_json(found.to_dict())
    else:
        typer.echo(str(found))
