"""Put the commands together, bundled ones and those of plugins, and turn errors into one line and an exit code."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from filtercrawl.cli import inspect, sources, status, sync
from filtercrawl.errors import FiltercrawlError
from filtercrawl.manager import Plugins, load


def build(plugins: Plugins) -> typer.Typer:
    """Return the application; every command finds the plugins in the context's `obj`."""
    app = typer.Typer(
        name="filtercrawl",
        help="Crawl model zoos for trained convolution kernels and keep them as a Hugging Face dataset.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
    )

    @app.callback()
    def root(
        context: typer.Context,
        show_version: Annotated[
            bool, typer.Option("--version", is_eager=True, help="Show the version and exit.")
        ] = False,
    ) -> None:
        if show_version:
            typer.echo(f"filtercrawl {version('filtercrawl')}")
            raise typer.Exit
        context.obj = plugins

    for name, run in (
        ("sources", sources.run),
        ("sync", sync.run),
        ("status", status.run),
        ("inspect", inspect.run),
    ):
        app.command(name)(run)
    for command in plugins.commands:
        app.command(command.name)(command.run)
    return app


def main() -> None:
    """Run the command line; the process ends with the exit codes of the contract."""
    plugins = load()
    for broken in plugins.broken:
        typer.echo(f"warning: plugin {broken.plugin} is left out: {broken.reason}", err=True)
    try:
        build(plugins)()
    except FiltercrawlError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone, as in `filtercrawl status | head`.
        sys.stderr.close()
        sys.exit(0)
