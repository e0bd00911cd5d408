"""Entry points of plugins, and the modules behind them: import each once, and register its hooks with pluggy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Final

import pluggy

from filtercrawl.api import hookspecs
from filtercrawl.api.analysis import Analysis
from filtercrawl.api.checkpoint import VisualCategory
from filtercrawl.api.errors import describe_error
from filtercrawl.api.hookspecs import API_VERSION, Command
from filtercrawl.api.measure import Measure
from filtercrawl.api.reader import Reader
from filtercrawl.api.source import Source
from filtercrawl.api.view import View

PROJECT: Final = "filtercrawl"
# What plugins offer. Kind K is declared in the entry-point group `filtercrawl.K`; the hook `filtercrawl_K` yields it.
KINDS: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        "sources": Source,
        "readers": Reader,
        "measures": Measure,
        "analyses": Analysis,
        "views": View,
        "commands": Command,
        "visual_categories": VisualCategory,
    }
)
# Versions of the interface that a plugin may be built for.
_SUPPORTED_VERSIONS: Final = frozenset({API_VERSION})


def group_of(kind: str) -> str:
    """Return the entry-point group of a kind."""
    return f"{PROJECT}.{kind}"


def installed_entry_points() -> tuple[EntryPoint, ...]:
    """Return the entry points of every installed plugin, also those of groups that do not exist."""
    installed = entry_points()
    groups = [group for group in installed.groups if group.partition(".")[0] == PROJECT]
    return tuple(entry for group in groups for entry in installed.select(group=group))


class PluginModules:
    """Plugins that were imported, by the module (or object in a module) behind their entry points."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._failures: dict[str, str | None] = {}

    def load(self, entry: EntryPoint) -> str | None:
        """Import a plugin once; return why it cannot be used, None where it can."""
        if entry.value not in self._failures:
            self._failures[entry.value] = self._register(entry)
        return self._failures[entry.value]

    def implementations(self, value: str, kind: str) -> list[Callable[..., Any]]:
        """Return the functions by which a loaded plugin implements the hook of a kind."""
        caller = getattr(self._manager.hook, f"{PROJECT}_{kind}")
        return [found.function for found in caller.get_hookimpls() if found.plugin_name == value]

    def _register(self, entry: EntryPoint) -> str | None:
        failure: str | None
        try:
            plugin = entry.load()
            failure = _version_problem(getattr(plugin, "FILTERCRAWL_API", None))
            if failure is None:
                self._manager.register(plugin, name=entry.value)
                self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            hooks = ", ".join(f"{PROJECT}_{kind}" for kind in KINDS)
            failure = f"{describe_error(error)}; hooks are {hooks}"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's module may raise anything
            failure = describe_error(error)
        if failure is not None and self._manager.has_plugin(entry.value):
            self._manager.unregister(name=entry.value)
        return failure


def _version_problem(stated: object) -> str | None:
    """Say why a plugin that states this version of the interface is not loaded; None where it may be."""
    if stated is None or (stated in _SUPPORTED_VERSIONS and type(stated) is int):
        return None
    known = ", ".join(str(version) for version in sorted(_SUPPORTED_VERSIONS))
    return (
        f"it is built for version {stated!r} of the plugin interface (FILTERCRAWL_API), and this filtercrawl supports "
        f"{known}; install a release of the plugin or of filtercrawl that fits the other"
    )
