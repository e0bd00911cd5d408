"""The source `hub`: any repo of models on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.checkpoint import Source
from filtercrawl.hookspecs import hookimpl
from filtercrawl_plugins.hub.source import HubSource


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    yield HubSource()
