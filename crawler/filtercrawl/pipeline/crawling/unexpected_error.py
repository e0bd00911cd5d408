"""What is said of an error that no reader should end in: what it is, and whose bug."""

from __future__ import annotations

from collections.abc import Iterable
from traceback import walk_tb

from filtercrawl.api.errors import describe_error
from filtercrawl.api.plugin_modules import PROJECT, installed_entry_points
from filtercrawl.api.reader import Reader


def unexpected_reason(error: BaseException, readers: Iterable[Reader]) -> str:
    """Return the reason of a failure by an error that is a bug, and whose where a plugin's reader was running.

    Args:
        error: What was raised.
        readers: All readers.
    """
    running = {_package(frame.f_globals.get("__name__", "")) for frame, _ in walk_tb(error.__traceback__)}
    modules = sorted({type(reader).__module__ for reader in readers})
    owners = (_distribution(module) for module in modules if _package(module) in running)
    owner = next((owner for owner in owners if owner != PROJECT), None)
    whose = "" if owner is None else f" of {owner}"
    return f"unexpected {describe_error(error)}; please report this as a bug{whose}"


def _package(module: str) -> str:
    return module.partition(".")[0]


def _distribution(module: str) -> str:
    """Return the distribution that declares a plugin in the package of a module; the module where none does."""
    declared = (entry.dist for entry in installed_entry_points() if _package(entry.module) == _package(module))
    return next((distribution.name for distribution in declared if distribution is not None), module)
