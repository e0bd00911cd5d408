"""`filtercrawl doctor`: check that this machine can run filtercrawl."""

from __future__ import annotations

from typing import Annotated

import typer

from filtercrawl.api.formatting import escape_control
from filtercrawl.cli.options import DatasetOption, JsonOption, print_json
from filtercrawl.config import resolve


def run(
    context: typer.Context,
    dataset: DatasetOption = None,
    network: Annotated[
        bool,
        typer.Option("--network", help="Also check that the Hub, every mirror and every origin with a token answers."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check versions, plugins, devices, cache, disk space and, with --network, servers. Exit code 1: a problem."""
    from filtercrawl.cli.diagnostics import run_checks  # imports torch

    checks = list(run_checks(context.obj, resolve({"dataset": dataset}), network=network))
    if json:
        print_json({"sound": all(check.problem is None for check in checks), "checks": [vars(c) for c in checks]})
    else:
        for check in checks:
            mark = "ok     " if check.problem is None else "problem"
            typer.echo(f"{mark}  {check.name:<10}  {escape_control(check.found)}")
            if check.problem is not None:
                typer.echo(f"{'':<21}{escape_control(check.problem)}")
    raise typer.Exit(0 if all(check.problem is None for check in checks) else 1)
