"""The source `timm`: the pretrained weights that the installed timm names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, RemoteFile
from filtercrawl.api.errors import UnsupportedError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.source import Query, Source
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.sources.shared.hub_listing import list_repos
from filtercrawl_plugins.sources.shared.query import check_settings, match_names, read_flag, read_visual_categories
from filtercrawl_plugins.sources.timm.registry import list_entries
from filtercrawl_plugins.sources.timm.resolve import EntryResolver

if TYPE_CHECKING:
    from torch import nn


class TimmSource:
    """Offers `ARCHITECTURE.TAG` (`resnet18.a1_in1k`) for every pretrained entry of the installed timm.

    The names are the library's own. Where a repository on the Hub holds the weights, a listing an organisation says
    at which commit, and nothing is asked a file. Weights at a plain URL go by the hash in the file's name, or by
    the ETag of one HEAD, asked once, where it has none. A file that several entries share is offered once, under
    the name of its repository if one of them has it; the others are its aliases, and a pattern may name those as
    well. Repositories that are disabled or gated are skipped; `[sources.timm] gated = true` takes gated ones in
    where the token allows.
    """

    name = "timm"

    def offers(self) -> int:
        """Count the entries of the library."""
        import timm

        return len(timm.list_pretrained())

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:
        """Yield the entries that match; raises UsageError where none does, NetworkError where the Hub is silent."""
        check_settings(self.name, query, "gated", "visual_category")
        gated, categories = read_flag(self.name, query, "gated"), read_visual_categories(self.name, query)
        everything = list_entries()
        wanted = match_names(self.name, query, (name for entry in everything for name in entry.names), separator=".")
        asked = [entry for entry in everything if not wanted.isdisjoint(entry.names)]
        repos = list_repos(transport, (entry.repo for entry in asked if entry.repo))
        visit = EntryResolver(
            transport=transport, repos=repos, previous_states=query.previous_states, gated=gated, categories=categories
        )
        yield from filter(None, map(visit.offer, asked))

    def recall(self, name: str) -> Checkpoint | None:
        """Return the record of `ARCHITECTURE.TAG` or `ARCHITECTURE` from the library alone."""
        import timm

        architecture, _, tag = name.partition(".")
        if not re.fullmatch(r"\w+", architecture) or not timm.is_model(architecture):
            return None
        meta = CheckpointMetadata(architecture=architecture, tag=tag or None, library="timm")
        return Checkpoint(name=name, files=(RemoteFile(url=f"timm:{name}"),), meta=meta)

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        """Build the architecture with the head of the weights, on the meta device; raises UnsupportedError."""
        import timm

        from filtercrawl.extraction.architecture import on_meta

        architecture, tag = checkpoint.meta.architecture or "", checkpoint.meta.tag
        # Only a registered name: timm takes others for addresses, and would go and fetch.
        if not re.fullmatch(r"\w+", architecture) or not timm.is_model(architecture):
            raise UnsupportedError(f"{checkpoint.name}: the installed timm has no {architecture!r}; update timm")
        tagged = f"{architecture}.{tag}"
        name = tagged if timm.is_model_pretrained(tagged) else architecture
        return on_meta(lambda: timm.create_model(name, pretrained=False))


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    yield TimmSource()
