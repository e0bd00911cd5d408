"""`filtercrawl sources`: what is installed, and what each source offers."""

from __future__ import annotations

import typer

from filtercrawl.checkpoint import Counts
from filtercrawl.cli.options import JsonOption, print_json
from filtercrawl.manager import Plugins


def run(context: typer.Context, json: JsonOption = False) -> None:
    """List the installed sources, the plugin each comes from, and how many files it offers where that is known."""
    plugins: Plugins = context.obj
    rows = [
        {
            "name": name,
            "plugin": plugins.origin[name],
            "offers": source.offers() if isinstance(source, Counts) else None,
        }
        for name, source in sorted(plugins.sources.items())
    ]
    if json:
        print_json({"sources": rows, "broken": [vars(broken) for broken in plugins.broken]})
        return
    for row in rows:
        offers = "offers what its pattern names" if row["offers"] is None else f"offers {row['offers']:,} files"
        typer.echo(f"{row['name']:<16} {offers:<34} plugin {row['plugin']}")
