"""`filtercrawl plugin`: begin a plugin, and check one."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import escape_control
from filtercrawl.cli.options import JsonOption, print_json, with_logging_options

app = typer.Typer(
    help="Begin a plugin, and check one.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("check")
@with_logging_options
def check_plugin(
    module: Annotated[
        str,
        typer.Argument(metavar="MODULE", help="The plugin's module, installed or in this folder, as filtercrawl_acme."),
    ],
    listing_only: Annotated[
        bool, typer.Option("--listing-only", help="Leave out what needs the plugin's own fake zoo.")
    ] = False,
    pattern: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="What to list of a source that needs a pattern.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check that a plugin keeps every promise. Exit code 1: it does not, or not all could be checked.

    What needs a zoo that changes runs against the plugin's own `conformance(server)`, on loopback. Without it the real
    zoo is listed.
    """
    import sys

    from filtercrawl.testing.suite import check

    if "" not in sys.path:
        sys.path.append("")
    verdict = check(module, listing_only=listing_only, pattern=pattern)
    if json:
        print_json(
            {
                "plugin": module,
                "conforms": verdict.conforms,
                "passed": list(verdict.passed),
                "left_out": dict(verdict.left_out),
                "findings": [vars(finding) for finding in verdict.findings],
            }
        )
    else:
        for name in verdict.passed:
            typer.echo(f"ok       {name}")
        for why in dict.fromkeys(verdict.left_out.values()):
            names = ", ".join(name for name, reason in verdict.left_out.items() if reason == why)
            typer.echo(f"not done {names}:\n         {escape_control(why)}")
        for finding in verdict.findings:
            typer.echo(
                f"wrong    {finding.check}: {escape_control(finding.what)}\n"
                f"         {escape_control(finding.what_to_do)}"
            )
    raise typer.Exit(0 if verdict.conforms else 1)


class Kind(Enum):
    """What a new plugin brings."""

    SOURCE = "source"
    READER = "reader"
    ANALYSIS = "analysis"


@app.command("new")
@with_logging_options
def new_plugin(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name: lower-case letters, digits and hyphens.")],
    kind: Annotated[
        Kind, typer.Option(metavar="source|reader|analysis", help="What it brings.", show_default="source")
    ] = Kind.SOURCE,
) -> None:
    """Write a complete plugin into ./filtercrawl-NAME.

    It installs, passes its own tests and does something at once: make it yours from there.
    """
    from filtercrawl.cli.scaffold import write

    taken = context.obj.sources if kind is Kind.SOURCE else {}
    if name in taken:
        raise UsageError(f"{name!r}: an installed source has this name; choose another")
    folder = write(name, kind.value, Path.cwd())
    typer.echo(f"""wrote {folder.name}; now

    cd {folder.name}
    pip install -e '.[test]'
    pytest

and read its README.md""")
