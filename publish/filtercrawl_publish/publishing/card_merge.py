"""Keep edits that people made to the published card: the next version does not undo them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from filtercrawl.api.errors import NotFoundError, PolicyError
from filtercrawl.dataset.card.card import PATH, Card
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.atomic import write_text
from filtercrawl_publish.publishing.repository_state import last_version
from filtercrawl_publish.publishing.staging import has_catalog
from filtercrawl_publish.repository.base import Repository

__all__ = ["merge_user_edits"]


def merge_user_edits(dataset: Path, repository: Repository, head: str | None, tags: Mapping[str, str]) -> bool:
    """Replace the hand-written parts of the local card by those of `head`, if they were edited there.

    The generated parts are written by the next export. The dataset must be locked; a folder without a catalog is left
    as it is.

    Args:
        dataset: The dataset folder.
        repository: Where the card may have been edited.
        head: The latest commit; only one without a tag can contain an edit.
        tags: Commit by tag.

    Returns:
        Whether the local card changed.

    Raises:
        PolicyError: The hand-written parts were edited differently on both sides since the last version.
        DatasetError: The header of a card cannot be read.
    """
    if head is None or head in tags.values() or not has_catalog(dataset):
        return False
    published_text = _published_card(repository, head)
    published, local = Card.parse(published_text).user_content(), Card.parse(_local_card(dataset)).user_content()
    version = last_version(repository, head, tags)
    base = Card.parse(_published_card(repository, tags[version]) if version else "").user_content()
    if published in (base, local):
        return False
    if local != base:
        since = f"since {version}" if version else "before the first version"
        raise PolicyError(
            f"{PATH}: edited {since} both here and in {repository.id}; copy the edits of one into the other, run again"
        )
    with Catalog(dataset) as catalog:
        catalog.set_meta("stale", "1")
    write_text(dataset / PATH, dataset, published_text)
    return True


def _published_card(repository: Repository, commit: str) -> str:
    try:
        return repository.read(PATH, commit).decode("utf-8", errors="replace")
    except NotFoundError:
        return ""


def _local_card(dataset: Path) -> str:
    path = dataset / PATH
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""
