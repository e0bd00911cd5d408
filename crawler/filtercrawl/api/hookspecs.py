"""The hooks a plugin may implement; a plugin imports `hookimpl` from `filtercrawl` and yields typed objects."""

from __future__ import annotations

from collections.abc import Iterator

import pluggy

from filtercrawl.api.analysis import Analysis
from filtercrawl.api.checkpoint import VisualCategory
from filtercrawl.api.command import Command
from filtercrawl.api.measure import Measure
from filtercrawl.api.source import Reader, Source

hookspec = pluggy.HookspecMarker("filtercrawl")
hookimpl = pluggy.HookimplMarker("filtercrawl")


@hookspec
def filtercrawl_sources() -> Iterator[Source]:  # type: ignore[empty-body]
    """Yield sources: what lists checkpoints."""


@hookspec
def filtercrawl_readers() -> Iterator[Reader]:  # type: ignore[empty-body]
    """Yield readers: what reads a file format."""


@hookspec
def filtercrawl_visual_categories() -> Iterator[VisualCategory]:  # type: ignore[empty-body]
    """Yield what the pictures of training data sets show."""


@hookspec
def filtercrawl_measures() -> Iterator[Measure]:  # type: ignore[empty-body]
    """Yield measures: statistics of a layer, made while its kernels stream by."""


@hookspec
def filtercrawl_analyses() -> Iterator[Analysis]:  # type: ignore[empty-body]
    """Yield analyses: what `filtercrawl analyze` makes tables and figures of."""


@hookspec
def filtercrawl_commands() -> Iterator[Command]:  # type: ignore[empty-body]
    """Yield commands of the command line."""
