"""Plugins as strangers write them: a good one, and some that break their promises."""

from __future__ import annotations

import sys
import tomllib
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from filtercrawl.api import Checkpoint, Query, RemoteFile, Skipped, Transport, hookimpl
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.plugin_modules import KINDS, group_of, installed_entry_points
from support.paths import REPOSITORY

# Writes the text of a plugin's module where it can be imported; returns the module's name.
WritePlugin = Callable[[str], str]


class Zoo:
    """A source that offers what it is given."""

    def __init__(self, name: str, offers: Callable[[], Iterator[Any]]) -> None:
        self.name = name
        self._offers = offers

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Any]:
        yield from self._offers()


def declared(*left_out: str) -> list[EntryPoint]:
    """The bundled plugins as pyproject.toml declares them, but for those of these names."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    return [
        EntryPoint(name, value, group)
        for group, names in project["entry-points"].items()
        for name, value in names.items()
        if name not in left_out
    ]


def entry(monkeypatch: pytest.MonkeyPatch, name: str, **hooks: Callable[[], Any]) -> EntryPoint:
    """Install a module with these hooks for the time of a test; returns its entry point, of the first hook's kind."""
    module = types.ModuleType(f"plugin_{name}")
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kind = next(iter(hooks)).removeprefix("filtercrawl_")
    return EntryPoint(name=name, value=module.__name__, group=group_of(kind if kind in KINDS else "sources"))


def source(monkeypatch: pytest.MonkeyPatch, name: str, offers: Callable[[], Iterator[Any]]) -> EntryPoint:
    return entry(monkeypatch, name, filtercrawl_sources=lambda: iter([Zoo(name, offers)]))


def checkpoint(name: str, url: str) -> Checkpoint:
    return Checkpoint(name=name, files=(RemoteFile(url=url, path=name),))


def skipped(name: str) -> Skipped:
    return Skipped(name=name, reason="gated")


@dataclass
class AcmeZoo:
    """A source as a stranger writes it: an index in pages, files beside it."""

    index: str
    name: str = "acme"

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Checkpoint | Skipped]:
        for page in transport.pages(self.index):
            for row in page:
                files = tuple(RemoteFile(**file) for file in row["files"])
                yield Checkpoint(name=row["name"], revision=row.get("revision"), files=files)


def instead(plugins: Plugins, **kinds: Any) -> Plugins:
    """The same plugins with other things of some kinds, as if those had been collected: `sources={...}`."""
    made = Plugins(plugins.entries)
    vars(made).update(kinds)
    return made


BUNDLED = installed_entry_points()
