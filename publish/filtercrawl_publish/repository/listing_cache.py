"""Remember which files a commit has: a commit never changes, and its listing may take a hundred requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from filtercrawl_publish.repository.base import RepositoryFile

__all__ = ["ListingCache"]

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
# The last version, the head and the new commit.
_MAX_LISTINGS: Final = 3


class ListingCache:
    """The files of the last few commits that were listed."""

    def __init__(self) -> None:
        self._listings: dict[str, Mapping[str, RepositoryFile]] = {}

    def get(self, revision: str, listing: Callable[[str], dict[str, RepositoryFile]]) -> Mapping[str, RepositoryFile]:
        """Return the files of a revision by path.

        Args:
            revision: What is remembered if it is a full commit id; names such as `main` mean other commits later.
            listing: Asks for the files.
        """
        if revision not in self._listings:
            listed = MappingProxyType(listing(revision))
            if not _COMMIT.fullmatch(revision):
                return listed
            while len(self._listings) >= _MAX_LISTINGS:
                del self._listings[next(iter(self._listings))]
            self._listings[revision] = listed
        return self._listings[revision]
