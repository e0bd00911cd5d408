"""Find what the dataset holds of repositories that give no access any more: gated, private or disabled by now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from filtercrawl.dataset.catalog import Catalog
from filtercrawl.pipeline.discovery.discover import Listing


def find_restricted(listings: Sequence[Listing], catalog: Catalog, offered: Set[str]) -> dict[str, str]:
    """Return why there is no access any more, by the model id of what is held.

    A source says so of a checkpoint, or of the repository whose name is the first part of the checkpoint's.

    Args:
        listings: What the selectors offer.
        catalog: What is known.
        offered: Model ids of everything that any selector offers.
    """
    restricted: dict[str, str] = {}
    for listing in listings:
        reasons = {skip.name: skip.reason for skip in listing.skipped if skip.restricted}
        if not reasons:
            continue
        listed = [model_id for model_id, _ in catalog.listed_by(listing.selector.id) if model_id not in offered]
        for row in catalog.models_by_id(listed):
            name = next(filter(reasons.__contains__, _names_above(row.offered_as)), None)
            if name is not None and row.has_content:  # also of one that has failed since
                restricted[row.model_id] = reasons[name]
    return dict(sorted(restricted.items()))


def _names_above(name: str) -> Iterator[str]:
    """Yield a name, and what contains it: `a/b/c`, `a/b`, `a`."""
    parts = name.split("/")
    yield from ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
