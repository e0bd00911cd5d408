"""The card as people edited it where it is published: taken over, so that the next version does not undo it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from filtercrawl.api.errors import NotFoundError, PolicyError
from filtercrawl.dataset.card.card import PATH, Card
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.atomic import write_text
from filtercrawl.dataset.files.layout import HIDDEN
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.version_names import current

__all__ = ["merge_user_edits"]


def merge_user_edits(folder: Path, repository: Repository, head: str | None, tags: Mapping[str, str]) -> bool:
    """Make the hand-written parts of the card in `folder` those of `head`, where somebody changed them there.

    The folder must be locked; the next export writes our parts of the card. A folder without a catalog stays as it is.
    Returns whether there was something to take over. Raises RefusedError where the parts were changed here too, and
    differently, since the last version; DatasetError for a card whose header cannot be read.
    """
    if head is None or head in tags.values() or not (folder / HIDDEN / "catalog.sqlite").is_file():
        return False
    text = _text(repository, head)
    theirs, here = Card.parse(text).user_content(), Card.parse(_here(folder)).user_content()
    version = current(head, tags)
    before = Card.parse(_text(repository, tags[version]) if version else "").user_content()
    if theirs in (before, here):
        return False
    if here != before:
        since = f"since {version}" if version else "before the first version"
        raise PolicyError(f"{PATH}: was edited {since} both here and in {repository.id}; make one like the other")
    with Catalog(folder) as catalog:
        catalog.set_meta("stale", "1")
    write_text(folder / PATH, folder, text)
    return True


def _text(repository: Repository, commit: str) -> str:
    try:
        return repository.read(PATH, commit).decode("utf-8", errors="replace")
    except NotFoundError:
        return ""


def _here(folder: Path) -> str:
    path = folder / PATH
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""
