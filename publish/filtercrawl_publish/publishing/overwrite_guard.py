"""Refuse to publish over files that no version of this dataset wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from filtercrawl.api.errors import NotFoundError, PolicyError
from filtercrawl.api.formatting import format_plural
from filtercrawl.dataset.card import card
from filtercrawl.dataset.files import manifest
from filtercrawl_publish.repository.base import Repository

__all__ = ["check_overwrite"]

# What a repository may hold before its first version; the hand-written parts of a card are kept.
_INITIAL_FILES: Final = frozenset({".gitattributes", ".gitignore", card.PATH, "LICENSE", "LICENSE.md", "LICENSE.txt"})


def check_overwrite(repository: Repository, head: str | None, dataset_id: str | None, *, replace: bool) -> None:
    """Check that the head of a repository is empty or a version of the dataset.

    Args:
        repository: Where a version is to be published.
        head: Its latest commit; None for an empty repository.
        dataset_id: The id of the dataset; None accepts every dataset of filtercrawl.
        replace: Whether anything may be replaced.

    Raises:
        PolicyError: The head holds something else.
    """
    repository.check_writable()
    if head is None or replace:
        return
    advice = "publish to another repository, or replace it with --replace"
    published = _published_id(repository, head)  # one request; the listing has thousands of files
    if published is None and (others := sorted(repository.files(head).keys() - _INITIAL_FILES)):
        names = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        what = f"{format_plural(len(others), 'file')} but no filtercrawl dataset ({names})"
        raise PolicyError(f"{repository.id}: holds {what}; {advice}")
    if published is not None and dataset_id not in (None, published):
        raise PolicyError(f"{repository.id}: holds another filtercrawl dataset ({published}); {advice}")


def _published_id(repository: Repository, head: str) -> str | None:
    """Return the dataset id in the manifest at `head`; None if it is not a manifest of filtercrawl."""
    try:
        content = json.loads(repository.read(manifest.PATH, head))
    except (NotFoundError, ValueError, RecursionError):
        return None
    found: Mapping[str, Any] = content if isinstance(content, dict) else {}
    return str(found["dataset_id"]) if "dataset_id" in found and "schema_version" in found else None
