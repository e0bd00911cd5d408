"""Find plugins by their entry points and collect what they register; a broken plugin is named and left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import pluggy

from filtercrawl import hookspecs
from filtercrawl.analysis import Analysis
from filtercrawl.checkpoint import Reader, Source, VisualCategory
from filtercrawl.command import Command
from filtercrawl.measure import Measure

GROUP: Final = "filtercrawl"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A plugin that is left out: its entry point's name, and one line that says why."""

    plugin: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plugins:
    """Everything that the installed plugins registered.

    origin: source -> the plugin it comes from. categories: training data set -> what its pictures show.
    """

    sources: Mapping[str, Source]
    origin: Mapping[str, str]
    readers: tuple[Reader, ...]
    measures: tuple[Measure, ...]
    analyses: tuple[Analysis, ...]
    categories: Mapping[str, str]
    commands: tuple[Command, ...]
    broken: tuple[Broken, ...]


def load(found: Iterable[EntryPoint] | None = None) -> Plugins:
    """Load the plugins behind `found`, by default every installed entry point of the group `filtercrawl`.

    Never raises for a plugin's sake: one that cannot be imported, has an unknown hook, raises in a hook or yields
    something of the wrong type is in `broken`, and the others work.
    """
    manager = pluggy.PluginManager("filtercrawl")
    manager.add_hookspecs(hookspecs)
    broken: list[Broken] = []
    for entry in sorted(entry_points(group=GROUP) if found is None else found, key=lambda e: e.name):
        try:
            plugin = entry.load()
            manager.register(plugin, name=entry.name)
            manager.check_pending()
        except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything
            broken.append(Broken(plugin=entry.name, reason=describe(error)))
            if manager.has_plugin(entry.name):
                manager.unregister(name=entry.name)
    collect = _Collector(manager, broken)
    sources = collect("filtercrawl_sources", Source)
    return Plugins(
        sources={source.name: source for _, source in sources},
        origin={source.name: plugin for plugin, source in sources},
        readers=tuple(reader for _, reader in collect("filtercrawl_readers", Reader)),
        measures=tuple(measure for _, measure in collect("filtercrawl_measures", Measure)),
        analyses=tuple(analysis for _, analysis in collect("filtercrawl_analyses", Analysis)),
        categories={
            item.dataset: item.category for _, item in collect("filtercrawl_visual_categories", VisualCategory)
        },
        commands=tuple(command for _, command in collect("filtercrawl_commands", Command)),
        broken=tuple(broken),
    )


class _Collector:
    def __init__(self, manager: pluggy.PluginManager, broken: list[Broken]) -> None:
        self._manager = manager
        self._broken = broken

    def __call__(self, hook: str, kind: type[Any]) -> list[tuple[str, Any]]:
        """Call one hook of every plugin by itself, so that one that raises does not silence the others."""
        collected: list[tuple[str, Any]] = []
        taken: dict[str, str] = {}
        caller = getattr(self._manager.hook, hook)
        for implementation in sorted(caller.get_hookimpls(), key=lambda impl: str(impl.plugin_name)):
            plugin = str(implementation.plugin_name)
            try:
                items = list(_call(implementation.function))
            except Exception as error:  # noqa: BLE001 - a stranger's hook may raise anything
                self._broken.append(Broken(plugin=plugin, reason=f"{hook}: {describe(error)}"))
                continue
            for item in items:
                why = _unfit(item, kind) or (taken.get(item.name) and f"{item.name!r} is already {taken[item.name]}'s")
                if why:
                    self._broken.append(Broken(plugin=plugin, reason=f"{hook}: {why}"))
                else:
                    taken[item.name] = plugin
                    collected.append((plugin, item))
        return collected


def _call(function: Callable[..., Any]) -> Iterable[Any]:
    result = function()
    if not isinstance(result, Iterable):
        raise TypeError(f"gives {type(result).__name__}, not an iterable")
    return result


def _unfit(item: object, kind: type[Any]) -> str | None:
    if not isinstance(item, kind):
        return f"yields {type(item).__name__}, which is no {kind.__name__}"
    name = item.name
    if kind is VisualCategory:
        return None  # named by its data set, which is nobody's path
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"the name {name!r} is not lower-case letters, digits and hyphens"
    return None


def describe(error: BaseException) -> str:
    """One line for a foreign error."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
