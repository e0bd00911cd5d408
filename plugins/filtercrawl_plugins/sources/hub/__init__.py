"""The source `hub`: any repo of models on the Hugging Face Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl_plugins.sources.hub.source import HubSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filtercrawl.api.source import Source


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    yield HubSource()
