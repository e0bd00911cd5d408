"""The source `hub`: any repo of models on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.source import Source
from filtercrawl_plugins.sources.hub.source import HubSource


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    yield HubSource()
