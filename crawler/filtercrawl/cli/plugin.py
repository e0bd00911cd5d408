"""`filtercrawl plugin`: begin a plugin, and check one."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Begin a plugin, and check one.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
