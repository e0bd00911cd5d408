"""Put the commands together, bundled ones and those of plugins, and turn errors into one line and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperGroup

from filtercrawl.api.errors import FiltercrawlError
from filtercrawl.api.plugin_manager import PluginFailure, Plugins, load_plugins
from filtercrawl.cli import config, doctor, inspect, plugin, sources, status, sync
from filtercrawl.cli.log_output import configure_logging
from filtercrawl.cli.options import with_logging_options

logger = logging.getLogger(__name__)

_OPTIONS: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
    "rich_markup_mode": None,
}


# Characters, more than any first sentence has.
_WHOLE = 1000


class Commands(TyperGroup):
    """The commands of filtercrawl itself, and behind them those of plugins, which are imported only to be shown or run.

    By then the options that choose plugins have been read: they are eager.
    """

    plugins: ClassVar[Plugins]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            self._take_in(ctx)
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        self._take_in(ctx)
        return super().list_commands(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands with the whole first sentence of their help, where Typer would cut it to a line."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(_WHOLE)) for name, command in found])

    def _take_in(self, ctx: Any) -> None:
        for command in selected_plugins(ctx).commands:
            self.commands.setdefault(command.name, _single(command.name, command.run))


def with_plugins(context: typer.Context, modules: list[str] | None) -> None:
    """Take in plugins that are not installed; they may lie in the folder that one is in."""
    for module in modules or ():
        if "" not in sys.path:
            sys.path.append("")
        context.obj = selected_plugins(context).with_plugin(module)


def without_plugins(context: typer.Context, names: list[str] | None) -> None:
    for name in names or ():
        context.obj = selected_plugins(context).without_plugin(name)


def selected_plugins(context: Any) -> Plugins:
    """The plugins as far as options have chosen them."""
    found: Plugins = context.obj or context.command.plugins
    return found


def build(plugins: Plugins) -> typer.Typer:
    """Return the application; every command finds the plugins in the context's `obj`."""
    app = typer.Typer(
        name="filtercrawl",
        help="Crawl model zoos for trained convolution kernels and keep them as a Hugging Face dataset.",
        no_args_is_help=True,
        cls=type("Commands", (Commands,), {"plugins": plugins}),
        **_OPTIONS,
    )

    @app.callback()
    def root(
        context: typer.Context,
        add: Annotated[  # noqa: ARG001 - its callback has taken it
            list[str] | None,
            typer.Option(
                "--plugin",
                metavar="MODULE",
                is_eager=True,
                callback=with_plugins,
                help="Use the plugin in a module that is not installed as one; may be repeated.",
            ),
        ] = None,
        leave_out: Annotated[  # noqa: ARG001 - its callback has taken it
            list[str] | None,
            typer.Option(
                "--no-plugin",
                metavar="NAME",
                is_eager=True,
                callback=without_plugins,
                help="Do without an installed plugin, which is not even imported; may be repeated.",
            ),
        ] = None,
        show_version: Annotated[
            bool,
            typer.Option("--version", is_eager=True, callback=tell_version, help="Show the version and exit."),
        ] = False,
    ) -> None:
        del show_version  # told, and ended with, before anything else is looked at
        context.obj = selected_plugins(context)

    for name, run in (
        ("sources", sources.run),
        ("sync", sync.run),
        ("status", status.run),
        ("inspect", inspect.run),
        ("config", config.run),
        ("doctor", doctor.run),
    ):
        app.command(name)(with_logging_options(run))
    app.add_typer(plugin.app, name="plugin")
    return app


def _single(name: str, run: Callable[..., None]) -> Any:
    """Return one plugin's command as Typer makes it."""
    alone = typer.Typer(**_OPTIONS)
    alone.command(name)(with_logging_options(run))
    return typer.main.get_command(alone)


def tell_version(asked: bool) -> None:
    """Answer `--version`, with which no command is named."""
    if asked:
        typer.echo(f"filtercrawl {version('filtercrawl')}")
        raise typer.Exit


def warn(broken: PluginFailure) -> None:
    """Name a plugin that is left out."""
    logger.warning("plugin %s is left out: %s", broken.plugin, broken.reason)


def main() -> None:
    """Run the command line; the process ends with the exit codes of the contract."""
    configure_logging()
    try:
        build(load_plugins(on_error=warn))()
    except FiltercrawlError as error:
        logger.error("%s", error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone, as in `filtercrawl status | head`.
        sys.stderr.close()
        sys.exit(0)
