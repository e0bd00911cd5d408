"""The tables of a version, brought here from wherever it is published."""

from __future__ import annotations

from pathlib import Path

from filtercrawl.config import resolve
from filtercrawl.transport import network
from filtercrawl_publish.diff.compare import files_to_compare


def fetch_tables(text: str, scratch: Path) -> Path:
    """Return where the tables lie: the folder that `text` names, or `scratch`, into which those of a repo are brought.

    Raises UsageError for what is neither, and NetworkError where the Hub cannot be asked.
    """
    if Path(text).is_dir():
        return Path(text)
    from filtercrawl_publish.repository.open import open_repository

    place = open_repository(text, network(resolve({}).network))
    commit = place.resolve()
    place.fetch(files_to_compare(place.files(commit)), commit, scratch)
    return scratch
