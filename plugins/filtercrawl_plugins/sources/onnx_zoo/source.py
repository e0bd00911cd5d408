"""The source `onnx`: the models of the ONNX zoo, by its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from filtercrawl.api.checkpoint import Checkpoint, Offer
from filtercrawl.api.errors import UsageError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.source import Query, Source
from filtercrawl.api.transport import Transport
from filtercrawl.config import hub_endpoint
from filtercrawl_plugins.sources.onnx_zoo.exports import list_exports
from filtercrawl_plugins.sources.onnx_zoo.manifest import read_manifest
from filtercrawl_plugins.sources.shared.query import check_settings, match_names, read_flag, read_visual_categories

# The zoo's own files moved from GitHub to this repository, which keeps their paths.
_MANIFEST: Final = "onnxmodelzoo/legacy_models/resolve/main/ONNX_HUB_MANIFEST.json"


class OnnxZoo:
    """Offers the models of the zoo's manifest by their path there: `vision/classification/vgg/model/vgg16-7.onnx`.

    `[sources.onnx] manifest = URL` names another manifest; the models lie beside it. sha256 and size are the
    manifest's, so a listing is one request. The same bytes under several paths are offered once, under the first; the
    other paths are its aliases. `exports = true` adds the zoo's own exports of other zoos' models, `exports/...`.
    """

    name = "onnx"

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:
        """Yield the models that match; raises UsageError where none does, NetworkError where there is no manifest."""
        check_settings(self.name, query, "manifest", "exports", "visual_category")
        categories = read_visual_categories(self.name, query)
        manifest, more = _manifest(query.settings), read_flag(self.name, query, "exports")
        offers = list(unique(read_manifest(transport.get_json(manifest), manifest, categories)))
        if more:
            offers += list_exports(transport)
        offered = {name: offer.name for offer in offers for name in _names(offer)}
        wanted = {offered[name] for name in match_names(self.name, query, offered)}
        yield from (offer for offer in offers if offer.name in wanted)


def unique(offers: Iterator[Offer]) -> Iterator[Offer]:
    """Put offers of the same bytes together under the first name; of offers with one name, the first counts."""
    kept: dict[str, Offer] = {}
    by_digest: dict[str | None, str] = {}
    for offer in offers:
        if offer.name in kept:
            continue
        first = kept.get(by_digest.get(offer.revision, ""))
        if isinstance(offer, Checkpoint) and isinstance(first, Checkpoint):
            kept[first.name] = replace(first, aliases=(*first.aliases, *_names(offer)))
            continue
        kept[offer.name] = offer
        if isinstance(offer, Checkpoint):
            by_digest[offer.revision] = offer.name
    yield from kept.values()


def _names(offer: Offer) -> tuple[str, ...]:
    return (offer.name, *offer.aliases) if isinstance(offer, Checkpoint) else (offer.name,)


def _manifest(settings: Mapping[str, Any]) -> str:
    url = settings.get("manifest", f"{hub_endpoint()}/{_MANIFEST}")
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"[sources.onnx] manifest: {url!r} is no http or https URL")
    return url


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    yield OnnxZoo()
