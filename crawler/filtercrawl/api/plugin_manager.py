"""Find plugins by their entry points and collect what they offer; a broken plugin is named and left out.

There is one entry-point group for each kind of thing that plugins offer: `filtercrawl.sources`, `filtercrawl.readers`
and so on. A module is imported when something of a kind that it is declared for is first asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint
from typing import Final

from filtercrawl.api.analysis import Analysis
from filtercrawl.api.errors import UsageError
from filtercrawl.api.hookspecs import Command
from filtercrawl.api.lazy_mapping import LazyMapping
from filtercrawl.api.measure import Measure
from filtercrawl.api.plugin_items import PluginItems
from filtercrawl.api.plugin_modules import KINDS, PluginModules, group_of, installed_entry_points
from filtercrawl.api.reader import Reader, weight_suffixes
from filtercrawl.api.source import Source
from filtercrawl.api.view import View

_MODULE: Final = re.compile(r"\w+(\.\w+)*(:\w+(\.\w+)*)?")


@dataclass(frozen=True, kw_only=True)
class PluginFailure:
    """A plugin that is left out.

    Attributes:
        plugin: The name of its entry points.
        reason: One line that says why.
    """

    plugin: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PluginOrigin:
    """Where a plugin comes from.

    Attributes:
        module: The module behind its entry point.
        distribution: The installed distribution that declares it, None for a module given by `--plugin`.
        version: The version of that distribution.
    """

    module: str
    distribution: str | None = None
    version: str | None = None


OnError = Callable[[PluginFailure], None]


def _ignore(failure: PluginFailure) -> None:
    """Do nothing about a broken plugin."""


def load_plugins(entries: Iterable[EntryPoint] | None = None, on_error: OnError = _ignore) -> Plugins:
    """Return the plugins behind entry points; no module is imported yet.

    Args:
        entries: Entry points of the groups `filtercrawl.*`; by default those of everything that is installed.
        on_error: Called once for every plugin that turns out to be broken, when it does.
    """
    return Plugins(installed_entry_points() if entries is None else entries, on_error)


def implemented_kinds(module: str) -> tuple[str, ...]:
    """Import a plugin's module and return the kinds that it has a hook for.

    Raises:
        UsageError: It is not the name of a module, or the module cannot be used.
    """
    if not _MODULE.fullmatch(module):
        raise UsageError(f"{module}: not the name of a module, such as filtercrawl_acme")
    modules = PluginModules()
    if failure := modules.load(EntryPoint(name=module, value=module, group="")):
        raise UsageError(f"{module}: {failure}")
    return tuple(kind for kind in KINDS if modules.implementations(module, kind))


class Plugins:
    """Everything that the installed plugins offer.

    No property raises because of a plugin: one that cannot be imported, has an unknown hook, lacks the hook of a group
    it is declared in, is built for an unknown version of the interface, raises in a hook or yields something of the
    wrong type is in `broken`, and the others work.

    Attributes:
        entries: The entry points, sorted by name; a plugin has one in each group of which it offers something.
    """

    def __init__(
        self, entries: Iterable[EntryPoint], on_error: OnError = _ignore, *, left_out: Iterable[str] = ()
    ) -> None:
        self.entries = tuple(sorted(entries, key=lambda entry: (entry.name, entry.group)))
        self._left_out = frozenset(left_out)
        self._on_error = on_error
        self._broken: list[PluginFailure] = []
        self._items = PluginItems(self.entries, self._mark_broken)
        groups = {group_of(kind) for kind in KINDS}
        for entry in self.entries:
            if entry.group not in groups:
                known = ", ".join(sorted(groups))
                self._mark_broken(entry.name, f"no entry-point group has the name {entry.group}; groups are {known}")

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """Sources by name; looking up one that has the name of its plugin imports no other plugin."""
        return LazyMapping(
            lambda name: self._items.named_as_plugin("sources", name),
            lambda: {source.name: source for _, source in self._collected_sources},
        )

    @cached_property
    def origin(self) -> Mapping[str, str]:
        """The plugin that each source comes from: source name to plugin name."""
        return LazyMapping(
            lambda name: self._items.plugin_of_same_name("sources", name),
            lambda: {source.name: plugin for plugin, source in self._collected_sources},
        )

    @cached_property
    def readers(self) -> tuple[Reader, ...]:
        return tuple(reader for _, reader in self._items.of_kind("readers"))

    @cached_property
    def weight_suffixes(self) -> frozenset[str]:
        """Endings of the names of weight files: the known ones, and those that readers declare."""
        return weight_suffixes(self.readers)

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        return tuple(measure for _, measure in self._items.of_kind("measures"))

    @cached_property
    def analyses(self) -> tuple[Analysis, ...]:
        return tuple(analysis for _, analysis in self._items.of_kind("analyses"))

    @cached_property
    def views(self) -> Mapping[str, View]:
        """Views by name."""
        return {view.name: view for _, view in self._items.of_kind("views")}

    @cached_property
    def commands(self) -> tuple[Command, ...]:
        return tuple(command for _, command in self._items.of_kind("commands"))

    @cached_property
    def visual_categories(self) -> Mapping[str, str]:
        """The visual category of training datasets, by dataset name."""
        return {item.dataset: item.category for _, item in self._items.of_kind("visual_categories")}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all plugins, sorted."""
        return tuple(sorted({entry.name for entry in self.entries}))

    @property
    def complete(self) -> bool:
        """Whether no plugin was left out, and none of what was asked for so far is broken."""
        return not self._left_out and not self._broken

    @property
    def broken(self) -> tuple[PluginFailure, ...]:
        """Every plugin that does not work, and why; to find out, all are imported and all hooks are called."""
        for kind in KINDS:
            self._items.of_kind(kind)
        return tuple(self._broken)

    def origin_of(self, plugin: str) -> PluginOrigin:
        """Return where the plugin of this name comes from.

        Raises:
            KeyError: No plugin has this name.
        """
        entry = next((entry for entry in self.entries if entry.name == plugin), None)
        if entry is None:
            raise KeyError(plugin)
        if entry.dist is None:
            return PluginOrigin(module=entry.value)
        return PluginOrigin(module=entry.value, distribution=entry.dist.name, version=entry.dist.version)

    def of_module(self, module: str) -> Plugins:
        """Return only what the plugin in this module offers."""
        others = {entry.name for entry in self.entries if entry.value != module}
        return Plugins(
            (entry for entry in self.entries if entry.value == module),
            self._on_error,
            left_out=self._left_out | others,
        )

    def with_plugin(self, module: str) -> Plugins:
        """Return these plugins and the one in a module that is not installed.

        Raises:
            UsageError: The module is not one, or the plugin in it is broken.
        """
        if any(entry.value == module for entry in self.entries):
            return self
        for entry in self.entries:
            if module in (entry.name, entry.dist and entry.dist.name):
                raise UsageError(f"{module} is not a module; the plugin of this name is the module {entry.value}")
        added = [EntryPoint(name=module, value=module, group=group_of(kind)) for kind in implemented_kinds(module)]
        for failure in Plugins(added).broken:
            raise UsageError(f"{module}: {failure.reason}")
        return Plugins([*self.entries, *added], self._on_error, left_out=self._left_out)

    def without_plugin(self, name: str) -> Plugins:
        """Return these plugins except the one of this name.

        Raises:
            UsageError: No plugin has this name.
        """
        if name not in self.names:
            raise UsageError(f"--no-plugin {name}: no plugin has this name; installed are {', '.join(self.names)}")
        kept = [entry for entry in self.entries if entry.name != name]
        return Plugins(kept, self._on_error, left_out=self._left_out | {name})

    @cached_property
    def _collected_sources(self) -> list[tuple[str, Source]]:
        return self._items.of_kind("sources")

    def _mark_broken(self, plugin: str, reason: str) -> None:
        failure = PluginFailure(plugin=plugin, reason=reason)
        self._broken.append(failure)
        self._on_error(failure)
