"""What plugins offer, by kind: their hooks are called, and what comes of them is checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint
from typing import Any, Final

from filtercrawl.api.checkpoint import VisualCategory
from filtercrawl.api.errors import describe_error
from filtercrawl.api.hookspecs import Command
from filtercrawl.api.plugin_modules import KINDS, PROJECT, PluginModules, group_of

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
# A command may be one of a group: `export fanns`.
_COMMAND_NAME: Final = re.compile(rf"({_NAME.pattern} )?{_NAME.pattern}")


class PluginItems:
    """What the plugins behind entry points offer. A module is imported when one of its items is first asked for.

    Args:
        entries: The entry points, in the order in which their plugins are asked.
        on_broken: Called with the name of a plugin and what is wrong with it, once for each fault.
    """

    def __init__(self, entries: Sequence[EntryPoint], on_broken: Callable[[str, str], None]) -> None:
        self._entries = entries
        self._on_broken = on_broken
        self._modules = PluginModules()
        self._offered: dict[tuple[str, str, str], list[Any]] = {}
        self._collected: dict[str, list[tuple[str, Any]]] = {}
        self._failed: set[str] = set()

    def of_kind(self, kind: str) -> list[tuple[str, Any]]:
        """Return (plugin name, item) for all that plugins offer of one kind.

        Of several items of one name, the one that has the name of its plugin counts, or else the first.
        """
        if kind not in self._collected:
            self._collected[kind] = self._collect(kind)
        return self._collected[kind]

    def _collect(self, kind: str) -> list[tuple[str, Any]]:
        offered = [(entry, item) for entry in self._of_kind(kind) for item in self._of_entry(kind, entry)]
        taken: dict[str, tuple[EntryPoint, Any]] = {}
        for entry, item in sorted(offered, key=lambda pair: not _is_named_as(pair[0], pair[1].name)):
            taken.setdefault(item.name, (entry, item))
        collected: list[tuple[str, Any]] = []
        for entry, item in offered:
            owner, counted = taken[item.name]
            if item is counted:
                collected.append((entry.name, item))
            else:
                reason = f"the name {item.name!r} is already taken by the plugin {owner.name}"
                self._on_broken(entry.name, f"{PROJECT}_{kind}: {reason}")
        return collected

    def named_as_plugin(self, kind: str, name: str) -> Any | None:
        """Return the item of this name if its plugin has the same name; None for others."""
        return next((item for _, item in self._named_as_plugin(kind, name)), None)

    def plugin_of_same_name(self, kind: str, name: str) -> str | None:
        """Return the name of the plugin that offers the item of this name, if they have the same name."""
        return next((plugin for plugin, _ in self._named_as_plugin(kind, name)), None)

    def _named_as_plugin(self, kind: str, name: str) -> Iterator[tuple[str, Any]]:
        for entry in self._of_kind(kind):
            if _is_named_as(entry, name):
                yield from ((entry.name, item) for item in self._of_entry(kind, entry) if item.name == name)

    def _of_kind(self, kind: str) -> Iterator[EntryPoint]:
        return (entry for entry in self._entries if entry.group == group_of(kind))

    def _of_entry(self, kind: str, entry: EntryPoint) -> list[Any]:
        """Return what one plugin offers of a kind; its hook is called once, by itself, so that it silences no other."""
        key = kind, entry.name, entry.value
        if key not in self._offered:
            self._offered[key] = list(self._call_hooks(kind, entry)) if self._load(entry) else []
        return self._offered[key]

    def _call_hooks(self, kind: str, entry: EntryPoint) -> Iterator[Any]:
        hook = f"{PROJECT}_{kind}"
        functions = self._modules.implementations(entry.value, kind)
        if not functions:
            self._on_broken(entry.name, f"it is declared in the group {entry.group}, but has no hook {hook}")
        for function in functions:
            try:
                items = _items(function)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's hook may raise anything
                self._on_broken(entry.name, f"{hook}: {describe_error(error)}")
                continue
            for item in items:
                problem = _validate_item(item, KINDS[kind])
                if problem is None:
                    yield item
                else:
                    self._on_broken(entry.name, f"{hook}: {problem}")

    def _load(self, entry: EntryPoint) -> bool:
        """Import the plugin behind an entry point unless that was done before; return whether it can be used."""
        failure = self._modules.load(entry)
        if failure is not None and entry.name not in self._failed:
            self._failed.add(entry.name)
            self._on_broken(entry.name, failure)
        return failure is None


def _is_named_as(entry: EntryPoint, name: str) -> bool:
    return entry.name.replace("_", "-") == name


def _items(hook: Callable[..., Any]) -> list[Any]:
    result = hook()
    if not isinstance(result, Iterable):
        raise TypeError(f"returns {type(result).__name__}, not an iterable")
    return list(result)


def _validate_item(item: object, kind: type[Any]) -> str | None:
    """Say what is wrong with something that a hook yielded; None where nothing is."""
    if not isinstance(item, kind):
        return f"yields {type(item).__name__}, not {kind.__name__}"
    name = item.name
    if kind is VisualCategory:
        return None  # named after its dataset, which is never used as a path
    if not isinstance(name, str) or not (_COMMAND_NAME if kind is Command else _NAME).fullmatch(name):
        return f"the name {name!r} is not lower-case letters, digits and hyphens"
    return None
