"""Which files of a repository are those of a version; all others belong to its owner and stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from filtercrawl.dataset.card import card
from filtercrawl.dataset.files import manifest
from filtercrawl_publish.repository.base import RepositoryFile
from filtercrawl_publish.repository.signature import SIGNATURE

__all__ = ["differs", "version_files"]

_FOLDERS: Final = tuple(f"{part}/" for part in manifest.PARTS)
_FILES: Final = frozenset({card.PATH, manifest.PATH, SIGNATURE, *manifest.SINGLE_FILES})


def version_files(files: Mapping[str, RepositoryFile]) -> dict[str, RepositoryFile]:
    """Return the files of a version among those of a commit."""
    return {path: file for path, file in files.items() if path.startswith(_FOLDERS) or path in _FILES}


def differs(file: RepositoryFile, other: RepositoryFile | None) -> bool:
    """Return whether a repository states other content of a file; also if there is none."""
    return other is None or (file.size, file.sha256, file.oid) != (other.size, other.sha256, other.oid)
