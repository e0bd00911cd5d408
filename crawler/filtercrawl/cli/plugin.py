"""`filtercrawl plugin`: create a plugin, and check one."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import escape_control
from filtercrawl.cli.options import JsonOption, print_json, with_json_on_every_exit, with_logging_options

app = typer.Typer(
    help="Create a plugin, and check one.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("check")
@with_logging_options
@with_json_on_every_exit
def check_plugin(
    module: Annotated[
        str,
        typer.Argument(metavar="MODULE", help="Its module, installed or in this folder, for example filtercrawl_acme."),
    ],
    listing_only: Annotated[
        bool, typer.Option("--listing-only", help="Leave out the checks that need the plugin's fake zoo.")
    ] = False,
    pattern: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="The pattern to list, for a source that needs one.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check that a plugin follows the rules of its interface. Exit code 1: it does not, or a check could not be made.

    Checks that need a zoo that changes run against the plugin's own `conformance(server)`, on this machine. Without it
    the real zoo is listed.
    """
    import sys

    from filtercrawl.testing.suite import check

    if "" not in sys.path:
        sys.path.append("")
    report = check(module, listing_only=listing_only, pattern=pattern)
    if json:
        print_json(
            {
                "plugin": module,
                "conforms": report.conforms,
                "passed": list(report.passed),
                "left_out": dict(report.left_out),
                "findings": [vars(finding) for finding in report.findings],
            }
        )
    else:
        for name in report.passed:
            typer.echo(f"ok       {name}")
        for why in dict.fromkeys(report.left_out.values()):
            names = ", ".join(name for name, reason in report.left_out.items() if reason == why)
            typer.echo(f"not done {names}:\n         {escape_control(why)}")
        for finding in report.findings:
            typer.echo(
                f"wrong    {finding.check}: {escape_control(finding.what)}\n"
                f"         {escape_control(finding.what_to_do)}"
            )
    raise typer.Exit(0 if report.conforms else 1)


class Kind(Enum):
    """What a new plugin offers."""

    SOURCE = "source"
    READER = "reader"
    ANALYSIS = "analysis"


@app.command("new")
@with_logging_options
def new_plugin(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The plugin's name: lower-case letters, digits and hyphens.")
    ],
    kind: Annotated[
        Kind, typer.Option(metavar="source|reader|analysis", help="What the plugin offers.", show_default="source")
    ] = Kind.SOURCE,
) -> None:
    """Write a complete plugin into ./filtercrawl-NAME.

    It can be installed, passes its own tests and works at once; change it from there.
    """
    from filtercrawl.cli.scaffold import write

    taken = context.obj.sources if kind is Kind.SOURCE else {}
    if name in taken:
        raise UsageError(f"an installed source has the name {name!r}; choose another")
    folder = write(name, kind.value, Path.cwd())
    typer.echo(f"""wrote {folder.name}; now

    cd {folder.name}
    pip install -e '.[test]'
    pytest

and read its README.md""")
