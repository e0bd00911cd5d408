"""Files of the last version that an empty folder gets only once there is something to publish.

The tables tell what has changed. Figures, tables of analyses and the change log, a hundred files and more, are needed
only to be part of the next version as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from filtercrawl.dataset.card import card
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import remove, write_text
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl_publish.publishing.staging import has_catalog
from filtercrawl_publish.publishing.version_files import version_files
from filtercrawl_publish.repository.base import Repository

__all__ = ["fetch_deferred", "is_deferred", "mark_deferred"]

# Which commit's files the folder lacks. Not in the catalog, which a sync may rebuild from the tables.
_MARK: Final = f"{HIDDEN}/deferred.json"
_NEEDED: Final = ("data/", "subsets/")


def is_deferred(path: str) -> bool:
    """Tell whether a file of a version is not needed to find out what has changed."""
    return not path.startswith(_NEEDED) and path not in (card.PATH, manifest.PATH)


def mark_deferred(dataset: Path, repository: Repository, commit: str) -> None:
    """Note that the folder lacks the deferred files of a commit."""
    write_text(dataset / _MARK, dataset, json.dumps({"repository": repository.id, "commit": commit}))


def fetch_deferred(dataset: Path, repository: Repository) -> None:
    """Download the version's files that were left out when the folder was restored, where there is none of their name.

    The next export lists them again. A folder that continues a version of another repository stays as it is.

    Args:
        dataset: The dataset folder.
        repository: Where the version is published.

    Raises:
        NetworkError: The Hub could not be reached.
    """
    if not has_catalog(dataset):
        return
    try:
        mark = json.loads((dataset / _MARK).read_bytes())
    except FileNotFoundError:
        return
    commit = str(mark["commit"])
    if mark["repository"] != repository.id:
        return
    version = version_files(repository.files(commit))
    lacking = [path for path in version if is_deferred(path) and not (dataset / path).is_file()]
    repository.fetch(lacking, commit, dataset)
    with Catalog(dataset) as catalog:
        catalog.set_meta("stale", "1")
    remove(dataset / _MARK)
