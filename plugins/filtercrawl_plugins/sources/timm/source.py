"""The source `timm`: the pretrained weights that the installed timm lists."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, RemoteFile
from filtercrawl.api.errors import NetworkError, UnsupportedError
from filtercrawl.api.extras import missing_extra
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.source import Query, Source
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.metadata.families import timm_family
from filtercrawl_plugins.sources.shared.hub_listing import list_repos
from filtercrawl_plugins.sources.shared.query import match_names, read_flag, read_visual_categories
from filtercrawl_plugins.sources.timm.registry import list_entries
from filtercrawl_plugins.sources.timm.resolve import EntryResolver, offer_without_network

if TYPE_CHECKING:
    from torch import nn


logger = logging.getLogger(__name__)


class TimmSource:
    """Offers `ARCHITECTURE.TAG` (`resnet18.a1_in1k`) for every pretrained entry of the installed timm.

    Names are those of timm. Weights on the Hub are listed with one request per organization, and their etag is the
    commit. Weights at a plain URL have the hash in their file name as revision, or else the ETag of one HEAD request
    that is sent once. A file that several entries share is offered once; the other names are aliases, which a pattern
    may select as well. Disabled and gated repositories are skipped.

    Settings in `[sources.timm]`: `gated = true` (include gated repositories if the token has access),
    `visual_category`.
    """

    name = "timm"
    setting_names = ("gated", "visual_category")

    @property
    def unavailable(self) -> str | None:
        """What has to be installed first; None if nothing is missing."""
        return missing_extra("zoos", "timm")

    def offers(self) -> int:
        """Return the number of files; several entries may share one."""
        return len(list_entries())

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:
        """Yield the entries that match.

        Raises:
            UsageError: No entry matches, or a setting is invalid.
            NetworkError: The Hub cannot be reached; in a dry run the entries are those of the installed timm then.
        """
        gated, categories = read_flag(self.name, query, "gated"), read_visual_categories(self.name, query)
        entries = list_entries()
        names = match_names(self.name, query, (name for entry in entries for name in entry.names), separator=".")
        selected = [entry for entry in entries if not names.isdisjoint(entry.names)]
        try:
            repos = list_repos(transport, (entry.repo for entry in selected if entry.repo))
        except NetworkError as error:
            if not query.dry_run:
                raise
            logger.warning("timm: listed without the Hub, so that changes are not seen (%s)", error)
            yield from (offer_without_network(entry, query.previous_states, categories) for entry in selected)
            return
        resolver = EntryResolver(
            transport=transport, repos=repos, previous_states=query.previous_states, gated=gated, categories=categories
        )
        yield from filter(None, map(resolver.offer, selected))

    def recall(self, name: str) -> Checkpoint | None:
        """Return the record of `ARCHITECTURE.TAG` or `ARCHITECTURE`, None if timm does not have it; uses no network."""
        import timm

        architecture, _, tag = name.partition(".")
        if not re.fullmatch(r"\w+", architecture) or not timm.is_model(architecture):
            return None
        meta = CheckpointMetadata(
            architecture=architecture, family=timm_family(architecture), tag=tag or None, library="timm"
        )
        return Checkpoint(name=name, files=(RemoteFile(url=f"timm:{name}"),), meta=meta)

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        """Build the architecture with the head that the weights have, on the meta device; raises UnsupportedError."""
        import timm

        from filtercrawl.extraction.architecture import on_meta

        architecture, tag = checkpoint.meta.architecture or "", checkpoint.meta.tag
        # timm would take a name that is not registered as the address of a repository and fetch from it.
        if not re.fullmatch(r"\w+", architecture) or not timm.is_model(architecture):
            raise UnsupportedError(f"{checkpoint.name}: the installed timm has no {architecture!r}; update timm")
        tagged = f"{architecture}.{tag}"
        name = tagged if timm.is_model_pretrained(tagged) else architecture
        return on_meta(lambda: timm.create_model(name, pretrained=False))


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    """Yield the source of this plugin."""
    yield TimmSource()
