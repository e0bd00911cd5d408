"""A plugin with a source that lists what an index on a server names; workers of other processes can import it."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api import Query, Source, Transport, hookimpl
from filtercrawl.api.checkpoint import Checkpoint, Skipped
from support.plugins import AcmeZoo


class ServedZoo:
    """The index is at the URL that stands behind the colon of the selector."""

    name = "served"
    needs_pattern = True

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Checkpoint | Skipped]:
        assert query.pattern is not None
        yield from AcmeZoo(query.pattern).checkpoints(transport, query)


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    yield ServedZoo()
