"""`filtercrawl sources`: the installed sources, and what each offers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from filtercrawl.api.formatting import escape_control, format_count
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.source import Source, SupportsCount, needs_pattern, unavailable
from filtercrawl.cli.options import JsonOption, print_json


def run(
    context: typer.Context,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Show the distribution and the module of each."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the installed sources, and how many files each offers where that is known without a request.

    The others list what they offer during a sync; some need a pattern, for example hub:org/name.
    """
    plugins: Plugins = context.obj
    rows = [
        {
            "name": name,
            "plugin": plugins.origin[name],
            "offers": source.offers() if isinstance(source, SupportsCount) and not unavailable(source) else None,
            "unavailable": unavailable(source),
            **(asdict(plugins.origin_of(plugins.origin[name])) if verbose else {}),
        }
        for name, source in sorted(plugins.sources.items())
    ]
    if json:
        print_json({"sources": rows, "broken": [vars(broken) for broken in plugins.broken]})
        return
    for row in rows:
        typer.echo(line(row, offers(plugins.sources[row["name"]], row["offers"])))
    if verbose:
        for broken in plugins.broken:
            typer.echo(f"left out: plugin {escape_control(broken.plugin)}: {escape_control(broken.reason)}")


def offers(source: Source, count: int | None) -> str:
    """Describe what a source offers; `count` is None where only its listing tells."""
    if reason := unavailable(source):
        return escape_control(reason)
    if count is not None:
        return f"offers {format_count(count)} files"
    return "offers what its pattern names" if needs_pattern(source) else "offers what it finds"


def line(row: dict[str, Any], offers: str) -> str:
    """Return the line of one source."""
    text = f"{row['name']:<16} {offers:<34} plugin {row['plugin']}"
    if "module" not in row:
        return text
    origin = " ".join(part for part in (row["distribution"], row["version"]) if part) or "not installed"
    return f"{text:<80} {escape_control(origin)}, {escape_control(row['module'])}"
