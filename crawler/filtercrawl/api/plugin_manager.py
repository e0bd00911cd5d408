"""Find plugins by their entry points and collect what they register; a broken plugin is named and left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import pluggy

from filtercrawl.api import hookspecs
from filtercrawl.api.analysis import Analysis
from filtercrawl.api.checkpoint import VisualCategory
from filtercrawl.api.command import Command
from filtercrawl.api.errors import UsageError, describe_error
from filtercrawl.api.hook_scan import HOOKS, may_implement_hook
from filtercrawl.api.measure import Measure
from filtercrawl.api.source import Reader, Source
from filtercrawl.api.version import refusal

GROUP: Final = "filtercrawl"
_MODULE: Final = re.compile(r"\w+(\.\w+)*(:\w+(\.\w+)*)?")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True, kw_only=True)
class PluginFailure:
    """A plugin that is left out: its entry point's name, and one line that says why."""

    plugin: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PluginOrigin:
    """Where a plugin comes from: its module, and its distribution with the version, None where it is in none."""

    module: str
    distribution: str | None = None
    version: str | None = None


OnError = Callable[[PluginFailure], None]


def _silent(broken: PluginFailure) -> None:
    """Tell nobody."""


def load_plugins(found: Iterable[EntryPoint] | None = None, on_error: OnError = _silent) -> Plugins:
    """Return the plugins behind `found`, by default every installed entry point of the group `filtercrawl`.

    Nothing is imported yet. on_error: called once for every plugin that turns out to be broken, when it does.
    """
    return Plugins(entry_points(group=GROUP) if found is None else found, on_error)


class Plugins:
    """Everything that the installed plugins register, each imported when something of its kind is first asked for.

    Never raises for a plugin's sake: one that cannot be imported, has an unknown hook, is built for an unknown version
    of the interface, raises in a hook or yields something of the wrong type is in `broken`, and the others work.
    """

    def __init__(self, found: Iterable[EntryPoint], tell: OnError = _silent) -> None:
        self.entries = tuple(sorted(found, key=lambda entry: entry.name))
        self._tell = tell
        self._broken: list[PluginFailure] = []
        self._asked: set[EntryPoint] = set()
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """Sources by name."""
        return {source.name: source for _, source in self._collected_sources}

    @cached_property
    def origin(self) -> Mapping[str, str]:
        """The name of a source -> the plugin it comes from."""
        return {source.name: plugin for plugin, source in self._collected_sources}

    @cached_property
    def readers(self) -> tuple[Reader, ...]:
        return tuple(reader for _, reader in self._collect("filtercrawl_readers", Reader))

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        return tuple(measure for _, measure in self._collect("filtercrawl_measures", Measure))

    @cached_property
    def analyses(self) -> tuple[Analysis, ...]:
        return tuple(analysis for _, analysis in self._collect("filtercrawl_analyses", Analysis))

    @cached_property
    def categories(self) -> Mapping[str, str]:
        """A training data set -> what its pictures show."""
        items = self._collect("filtercrawl_visual_categories", VisualCategory)
        return {item.dataset: item.category for _, item in items}

    @cached_property
    def commands(self) -> tuple[Command, ...]:
        return tuple(command for _, command in self._collect("filtercrawl_commands", Command))

    @property
    def broken(self) -> tuple[PluginFailure, ...]:
        """Every plugin that does not work, and why; to know that, all are imported and all hooks called."""
        for kind in ("sources", "readers", "measures", "analyses", "categories", "commands"):
            getattr(self, kind)
        return tuple(self._broken)

    def origin_of(self, plugin: str) -> PluginOrigin:
        """Say where the plugin of this name comes from; raises KeyError for a stranger."""
        entry = next((entry for entry in self.entries if entry.name == plugin), None)
        if entry is None:
            raise KeyError(plugin)
        if entry.dist is None:
            return PluginOrigin(module=entry.value)
        return PluginOrigin(module=entry.value, distribution=entry.dist.name, version=entry.dist.version)

    def with_plugin(self, module: str) -> Plugins:
        """Return these plugins and the one in a module that is not installed; raises UsageError where it is broken."""
        if any(entry.value == module for entry in self.entries):
            return self
        for entry in self.entries:
            if module in (entry.name, entry.dist and entry.dist.name):
                raise UsageError(f"{module}: no module; the plugin of this name is the module {entry.value}")
        if not _MODULE.fullmatch(module):
            raise UsageError(f"{module}: no name of a module, such as filtercrawl_acme")
        one = EntryPoint(name=module, value=module, group=GROUP)
        for broken in Plugins([one]).broken:
            raise UsageError(f"{module}: {broken.reason}")
        return Plugins([*self.entries, one], self._tell)

    def without_plugin(self, name: str) -> Plugins:
        """Return these plugins but for the one of this name; raises UsageError where there is none."""
        left = [entry for entry in self.entries if entry.name != name]
        if len(left) == len(self.entries):
            known = ", ".join(entry.name for entry in self.entries)
            raise UsageError(f"--no-plugin {name}: no plugin has this name; installed are {known}")
        return Plugins(left, self._tell)

    @cached_property
    def _collected_sources(self) -> list[tuple[str, Source]]:
        return self._collect("filtercrawl_sources", Source)

    def _collect(self, hook: str, kind: type[Any]) -> list[tuple[str, Any]]:
        """Call one hook of every plugin by itself, so that one that raises does not silence the others."""
        for entry in self.entries:
            if entry not in self._asked and may_implement_hook(entry, hook):
                self._asked.add(entry)
                self._import(entry)
        collected: list[tuple[str, Any]] = []
        taken: dict[str, str] = {}
        caller = getattr(self._manager.hook, hook)
        for implementation in sorted(caller.get_hookimpls(), key=lambda impl: str(impl.plugin_name)):
            plugin = str(implementation.plugin_name)
            try:
                items = list(_call(implementation.function))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's hook may raise anything
                self._mark_broken(plugin, f"{hook}: {describe_error(error)}")
                continue
            for item in items:
                why = _validate_item(item, kind) or (
                    taken.get(item.name) and f"{item.name!r} is already {taken[item.name]}'s"
                )
                if why:
                    self._mark_broken(plugin, f"{hook}: {why}")
                else:
                    taken[item.name] = plugin
                    collected.append((plugin, item))
        return collected

    def _import(self, entry: EntryPoint) -> None:
        try:
            plugin = entry.load()
            if refused := refusal(getattr(plugin, "FILTERCRAWL_API", None)):
                self._mark_broken(entry.name, refused)
                return
            self._manager.register(plugin, name=entry.name)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            self._mark_broken(entry.name, f"{describe_error(error)}; hooks are {', '.join(HOOKS)}")
            self._manager.unregister(name=entry.name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything
            self._mark_broken(entry.name, describe_error(error))
            if self._manager.has_plugin(entry.name):
                self._manager.unregister(name=entry.name)

    def _mark_broken(self, plugin: str, reason: str) -> None:
        broken = PluginFailure(plugin=plugin, reason=reason)
        self._broken.append(broken)
        self._tell(broken)


def _call(function: Callable[..., Any]) -> Iterable[Any]:
    result = function()
    if not isinstance(result, Iterable):
        raise TypeError(f"gives {type(result).__name__}, not an iterable")
    return result


def _validate_item(item: object, kind: type[Any]) -> str | None:
    if not isinstance(item, kind):
        return f"yields {type(item).__name__}, which is no {kind.__name__}"
    name = item.name
    if kind is VisualCategory:
        return None  # named by its data set, which is nobody's path
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"the name {name!r} is not lower-case letters, digits and hyphens"
    return None
