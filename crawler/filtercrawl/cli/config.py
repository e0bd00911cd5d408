"""`filtercrawl config`: the settings that hold, and where each comes from."""

from __future__ import annotations

import typer

from filtercrawl.api.formatting import escape_control
from filtercrawl.cli.options import JsonOption, print_json
from filtercrawl.config import resolve
from filtercrawl.config.resolved_settings import resolved_settings
from filtercrawl.config.source_tables import check_source_tables


def run(context: typer.Context, json: JsonOption = False) -> None:
    """Show the settings that hold here, and where each comes from: a variable, filtercrawl.toml or the default.

    Options of a command take precedence over all of these. Tokens are never shown, only the names of their variables.
    """
    check_source_tables(resolve({}).sources, context.obj)
    rows = resolved_settings({})
    if json:
        print_json({"settings": [vars(row) for row in rows]})
        return
    width = max(len(row.name) for row in rows)
    for row in rows:
        value = "-" if row.value in (None, "") else str(row.value)
        typer.echo(f"{escape_control(row.name):<{width}}  {escape_control(value):<40}  {escape_control(row.origin)}")
