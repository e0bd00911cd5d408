"""The application: built-in commands and those of plugins, and the exit code and message of an error."""

from __future__ import annotations

import io
import logging
import re
import signal
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any, ClassVar, Final

import typer
from typer.core import TyperGroup

from filtercrawl.api.errors import Cancelled, FiltercrawlError
from filtercrawl.api.plugin_manager import PluginFailure, Plugins, load_plugins
from filtercrawl.cli import config, doctor, inspect, plugin, similar, sources, status, subset, sync
from filtercrawl.cli.log_output import configure_logging
from filtercrawl.cli.options import print_error, with_json_on_every_exit, with_logging_options

logger = logging.getLogger(__name__)

_OPTIONS: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
    "rich_markup_mode": None,
}
# What Typer raises for any fault of a command line, such as an unknown option; it exports only classes below this one.
_COMMAND_LINE_ERROR: Final[type[Exception]] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)
# Characters, more than the first sentence of any help text has.
_NO_LIMIT: Final = 1000


class Commands(TyperGroup):
    """The built-in commands, and those of plugins, which are imported only when they are listed or run.

    The options that choose plugins are eager, so they have been read by then.
    """

    plugins: ClassVar[Plugins]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            self._add_plugin_commands(ctx)
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        self._add_plugin_commands(ctx)
        return super().list_commands(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands with the first sentence of their help in full; Typer would cut it to one line."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(_NO_LIMIT)) for name, command in found])

    def _add_plugin_commands(self, ctx: Any) -> None:
        for command in selected_plugins(ctx).commands:
            group, _, name = command.name.rpartition(" ")
            within = self.commands.setdefault(group, _group(group)) if group else self
            if isinstance(within, TyperGroup):  # and no command of that name
                within.commands.setdefault(name, _plugin_command(name, command.run))
            if isinstance(within, _PluginGroup):
                within.help = f"One of the commands {', '.join(sorted(within.commands))}."


class _PluginGroup(TyperGroup):
    """Commands of plugins that share their first word."""


def add_plugins(context: typer.Context, modules: list[str] | None) -> None:
    """Handle `--plugin`: add plugins that are not installed; their modules may be in the current folder."""
    for module in modules or ():
        if "" not in sys.path:
            sys.path.append("")
        context.obj = selected_plugins(context).with_plugin(module)


def remove_plugins(context: typer.Context, names: list[str] | None) -> None:
    """Handle `--no-plugin`."""
    for name in names or ():
        context.obj = selected_plugins(context).without_plugin(name)


def selected_plugins(context: Any) -> Plugins:
    """Return the plugins that the options read so far leave."""
    found: Plugins = context.obj or context.command.plugins
    return found


def build(plugins: Plugins) -> typer.Typer:
    """Return the application; commands find the plugins in the context's `obj`."""
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
        add: Annotated[  # noqa: ARG001 - handled by its callback
            list[str] | None,
            typer.Option(
                "--plugin",
                metavar="MODULE",
                is_eager=True,
                callback=add_plugins,
                help="Use a plugin that is not installed, by its module; may be repeated.",
            ),
        ] = None,
        leave_out: Annotated[  # noqa: ARG001 - handled by its callback
            list[str] | None,
            typer.Option(
                "--no-plugin",
                metavar="NAME",
                is_eager=True,
                callback=remove_plugins,
                help="Leave out an installed plugin, without importing it; may be repeated.",
            ),
        ] = None,
        show_version: Annotated[
            bool,
            typer.Option("--version", is_eager=True, callback=print_version, help="Show the version and exit."),
        ] = False,
    ) -> None:
        del show_version  # handled by its callback
        context.obj = selected_plugins(context)

    for name, run in (
        ("sources", sources.run),
        ("sync", sync.run),
        ("status", status.run),
        ("inspect", inspect.run),
        ("similar", similar.run),
        ("subset", subset.run),
        ("config", config.run),
        ("doctor", doctor.run),
    ):
        app.command(name)(_with_common_behavior(run))
    app.add_typer(plugin.app, name="plugin")
    return app


def _with_common_behavior(run: Callable[..., None]) -> Callable[..., None]:
    """Give a command what all commands have: options for logging, and with `--json` an object on every exit."""
    return with_logging_options(with_json_on_every_exit(run))


def _group(name: str) -> _PluginGroup:
    """Return a group for commands of plugins, without any yet."""
    options = {key: _OPTIONS[key] for key in ("context_settings", "rich_markup_mode")}
    return _PluginGroup(name=name, no_args_is_help=True, **options)


def _plugin_command(name: str, run: Callable[..., None]) -> Any:
    """Return the Typer command for a plugin's function."""
    alone = typer.Typer(**_OPTIONS)
    alone.command(name)(_with_common_behavior(run))
    return typer.main.get_command(alone)


def print_version(asked: bool) -> None:
    """Handle `--version`, which needs no command."""
    if asked:
        typer.echo(f"filtercrawl {version('filtercrawl')}")
        raise typer.Exit


def log_failure(failure: PluginFailure) -> None:
    """Log a plugin that is left out."""
    logger.warning("plugin %s is left out: %s", failure.plugin, failure.reason)


def print_usage_error(error: Any) -> int:
    """Print what is wrong with a command line in the form of all errors, after Typer's lines on usage.

    With `--json` it is printed as an object too.

    Returns:
        The exit code.
    """
    shown = io.StringIO()
    error.show(shown)
    if "--json" in sys.argv[1:]:
        print_error(error.format_message(), error.exit_code)
    typer.echo(re.sub("^Error: ", "error: ", shown.getvalue(), count=1, flags=re.MULTILINE), err=True, nl=False)
    return int(error.exit_code)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    configure_logging()
    try:
        sys.exit(build(load_plugins(on_error=log_failure))(standalone_mode=False))
    except _COMMAND_LINE_ERROR as error:
        sys.exit(print_usage_error(error))
    except typer.Abort:
        logger.error("aborted")
        sys.exit(1)
    except KeyboardInterrupt:  # before a command runs: Typer handles it from then on
        logger.error("interrupted")
        sys.exit(128 + signal.SIGINT)
    except MemoryError:
        logger.error("ran out of memory; give this machine more memory, or set --jobs 1")
        sys.exit(1)
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        logger.error("no further thread can be started; give this process more memory or threads, or set --jobs 1")
        sys.exit(1)
    except FiltercrawlError as error:
        logger.error("%s", error)
        sys.exit(error.exit_code)
    except Cancelled as error:  # the budget is used up; a signal has been handled by the command
        logger.error("%s", error)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has ended, as in `filtercrawl status | head`.
        sys.stderr.close()
        sys.exit(0)
