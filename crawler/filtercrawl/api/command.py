"""A command that a plugin adds to the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Command:
    """name: as typed after `filtercrawl`. run: a function with Typer annotations; its docstring is the help text."""

    name: str
    run: Callable[..., None]
