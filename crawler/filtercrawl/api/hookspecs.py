"""The hooks that a plugin may implement, and the version of this interface.

A plugin imports `hookimpl` from `filtercrawl.api`, marks a function named like one of these hooks and yields typed
objects from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pluggy

from filtercrawl.api.analysis import Analysis
from filtercrawl.api.checkpoint import VisualCategory
from filtercrawl.api.measure import Measure
from filtercrawl.api.reader import Reader
from filtercrawl.api.source import Source
from filtercrawl.api.view import View

# Raised when a plugin written for the version before may no longer work; a plugin may state its own as FILTERCRAWL_API.
API_VERSION: Final = 1

hookspec = pluggy.HookspecMarker("filtercrawl")
hookimpl = pluggy.HookimplMarker("filtercrawl")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that a plugin adds to the command line.

    Attributes:
        name: What is typed after `filtercrawl`; of two words the first is the name of a group, as in `export fanns`.
        run: A function with Typer annotations; its docstring is the help text.
    """

    name: str
    run: Callable[..., None]


@hookspec
def filtercrawl_sources() -> Iterator[Source]:  # type: ignore[empty-body]
    """Yield sources, which list checkpoints."""


@hookspec
def filtercrawl_readers() -> Iterator[Reader]:  # type: ignore[empty-body]
    """Yield readers, which read one file format each."""


@hookspec
def filtercrawl_measures() -> Iterator[Measure]:  # type: ignore[empty-body]
    """Yield measures: statistics of a layer, accumulated while its kernels are read."""


@hookspec
def filtercrawl_analyses() -> Iterator[Analysis]:  # type: ignore[empty-body]
    """Yield analyses, from which `filtercrawl analyze` makes tables and figures."""


@hookspec
def filtercrawl_views() -> Iterator[View]:  # type: ignore[empty-body]
    """Yield views, which `filtercrawl.load_layers` knows by name."""


@hookspec
def filtercrawl_commands() -> Iterator[Command]:  # type: ignore[empty-body]
    """Yield commands of the command line."""


@hookspec
def filtercrawl_visual_categories() -> Iterator[VisualCategory]:  # type: ignore[empty-body]
    """Yield the visual category of training datasets, such as `natural` for ImageNet."""
