"""A plugin by itself: with those of filtercrawl and of its own distribution, and with no other installed one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Final

from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.plugin_modules import PROJECT
from filtercrawl.testing.finding import Finding

# What has a name that must not be that of another plugin's.
_NAMED: Final = ("sources", "readers", "measures", "analyses", "views", "commands")


@dataclass(frozen=True, kw_only=True)
class IsolatedPlugin:
    """A plugin under test.

    Attributes:
        own: What the plugin offers.
        plugins: What it is tested with.
        left_out: Names of installed plugins that it is not tested with.
        clashes: Names that other installed plugins use too.
    """

    own: Plugins
    plugins: Plugins
    left_out: tuple[str, ...]
    clashes: tuple[Finding, ...]


def isolate(installed: Plugins, module: str) -> IsolatedPlugin:
    """Set the plugin in a module apart from others.

    Args:
        installed: The plugins that are installed, and the one in the module.
        module: The module behind its entry points.
    """
    own = installed.of_module(module)
    families = {PROJECT, *(entry.dist.name for entry in own.entries if entry.dist is not None)}
    clashes, clashing = [], set()
    for other in dict.fromkeys(entry.value for entry in installed.entries if entry.value != module):
        for kind, name in _common_names(own, installed.of_module(other)):
            clashing.add(other)
            clashes.append(_clash(kind, name, next(entry for entry in installed.entries if entry.value == other)))
    kept = [
        entry
        for entry in installed.entries
        if entry.value == module
        or (entry.value not in clashing and entry.dist is not None and entry.dist.name in families)
    ]
    left_out = sorted({entry.name for entry in installed.entries} - {entry.name for entry in kept})
    return IsolatedPlugin(own=own, plugins=Plugins(kept), left_out=tuple(left_out), clashes=tuple(clashes))


def _common_names(own: Plugins, other: Plugins) -> Iterator[tuple[str, str]]:
    """Yield (kind, name) of what both plugins offer."""
    for kind in _NAMED:
        if names := _names(own, kind):
            yield from ((kind, name) for name in sorted(names & _names(other, kind)))


def _names(plugins: Plugins, kind: str) -> set[str]:
    offered = getattr(plugins, kind)
    return set(offered) if kind in ("sources", "views") else {item.name for item in offered}


def _clash(kind: str, name: str, entry: EntryPoint) -> Finding:
    where = "" if entry.dist is None else f" of {entry.dist.name} {entry.dist.version}"
    return Finding(
        check="isolation",
        what=f"the installed plugin {entry.name} (module {entry.value}{where}) offers {name!r} of the {kind} too; it "
        "took no part in these checks",
        what_to_do="choose another name: of two with one name only one is used; or uninstall the other plugin",
    )
