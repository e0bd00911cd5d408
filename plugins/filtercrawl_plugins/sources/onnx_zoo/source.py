"""The source `onnx`: the models of the ONNX zoo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from filtercrawl.api.checkpoint import Checkpoint, Offer
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.source import Query, Source
from filtercrawl.api.transport import Transport
from filtercrawl.config import hub_endpoint
from filtercrawl_plugins.sources.onnx_zoo.exports import list_exports
from filtercrawl_plugins.sources.onnx_zoo.manifest import read_manifest
from filtercrawl_plugins.sources.shared.query import (
    match_names,
    read_flag,
    read_url,
    read_visual_categories,
)

# The files of the zoo have moved from GitHub to this repository on the Hub, under the same paths.
_MANIFEST: Final = "onnxmodelzoo/legacy_models/resolve/main/ONNX_HUB_MANIFEST.json"


class OnnxZoo:
    """Offers the models of the manifest by their path: `vision/classification/vgg/model/vgg16-7.onnx`.

    A listing is one request, because the manifest states sha256 and size. The same bytes under several paths are
    offered once, under the first path; the other paths are aliases.

    Settings in `[sources.onnx]`: `manifest` (URL of another manifest, to which the paths of models are relative),
    `exports = true` (also offer the zoo's exports of other zoos' models as `exports/...`), `visual_category`.
    """

    name = "onnx"
    setting_names = ("manifest", "exports", "visual_category")

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:
        """Yield the models that match.

        Raises:
            UsageError: No model matches, or a setting is invalid.
            NetworkError: The manifest or the listing of the exports cannot be fetched.
        """
        categories = read_visual_categories(self.name, query)
        manifest_url = read_url(self.name, query, "manifest") or f"{hub_endpoint()}/{_MANIFEST}"
        with_exports = read_flag(self.name, query, "exports")
        offers = list(merge_duplicates(read_manifest(transport.get_json(manifest_url), manifest_url, categories)))
        if with_exports:
            offers += list_exports(transport)
        primary_names = {name: offer.name for offer in offers for name in _all_names(offer)}
        selected = {primary_names[name] for name in match_names(self.name, query, primary_names)}
        yield from (offer for offer in offers if offer.name in selected)


def merge_duplicates(offers: Iterator[Offer]) -> Iterator[Offer]:
    """Merge checkpoints with the same sha256 under the first name; of offers with one name, keep the first."""
    merged: dict[str, Offer] = {}
    by_digest: dict[str | None, str] = {}
    for offer in offers:
        if offer.name in merged:
            continue
        first = merged.get(by_digest.get(offer.revision, ""))
        if isinstance(offer, Checkpoint) and isinstance(first, Checkpoint):
            merged[first.name] = replace(first, aliases=(*first.aliases, *_all_names(offer)))
            continue
        merged[offer.name] = offer
        if isinstance(offer, Checkpoint):
            by_digest[offer.revision] = offer.name
    yield from merged.values()


def _all_names(offer: Offer) -> tuple[str, ...]:
    return (offer.name, *offer.aliases) if isinstance(offer, Checkpoint) else (offer.name,)


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    """Yield the source of this plugin."""
    yield OnnxZoo()
