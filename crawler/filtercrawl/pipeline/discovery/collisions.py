"""Names that two files of this machine would share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from filtercrawl.api.checkpoint import RemoteFile, local_path
from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.pipeline.discovery.discover import Listing
from filtercrawl.pipeline.discovery.selector import Selector


def refuse_name_collisions(
    listings: Sequence[Listing],
    previous_rows: Mapping[str, ModelRow],
    previous_selectors: Mapping[str, str | None],
) -> None:
    """Raise UsageError if two folders of this machine offer different files under one name.

    Only selectors with a local path are checked: other sources give their names themselves, and may list a file at two
    addresses. A file that an earlier run listed collides only while it still exists.

    Args:
        listings: What the selectors of this run offer.
        previous_rows: Rows of `models` by model id.
        previous_selectors: Selectors of earlier runs by id, None for one that another machine listed.

    Raises:
        UsageError: Two files share a name; the message says how to label one of the folders.
    """
    offered: dict[str, tuple[str, Selector]] = {}
    for listing in listings:
        if not listing.selector.on_this_machine:
            continue
        selector = listing.selector
        for checkpoint in listing.checkpoints:
            model_id, url = f"{selector.source}/{checkpoint.name}", checkpoint.files[0].url
            other_url, other = offered.setdefault(model_id, (url, selector))
            if other_url != url:
                raise UsageError(_describe(checkpoint.name, str(other), selector))
            earlier = _earlier_selector(previous_rows.get(model_id), url, selector, previous_selectors)
            if earlier is not None:
                raise UsageError(_describe(checkpoint.name, earlier, selector))


def _earlier_selector(
    row: ModelRow | None, url: str, selector: Selector, previous_selectors: Mapping[str, str | None]
) -> str | None:
    """Return the selector of an earlier run that listed another existing file under the name of a row."""
    if row is None or row.state.url in (None, url):
        return None
    earlier = [previous_selectors.get(other) for other in row.selectors or ()]
    if not earlier or str(selector) in earlier or not local_path(RemoteFile(url=row.state.url)).exists():
        return None
    return earlier[0] or "an earlier run"


def _describe(name: str, one: str, other: Selector) -> str:
    return f"{one} and {other} both offer {name!r}; give one of them a label: '{other} as=LABEL'"
