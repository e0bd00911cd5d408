"""Whether a version would tell a reader anything new, or only that somebody looked again."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pyarrow.parquet as pq

from filtercrawl.dataset.card import card
from filtercrawl.dataset.files import manifest
from filtercrawl_publish.publishing.staging import StagedVersion
from filtercrawl_publish.publishing.upload import FileChanges
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.signature import SIGNATURE

__all__ = ["has_reader_visible_change"]

_MODELS: Final = "data/models.parquet"
_SOURCES: Final = "data/sources.parquet"
# Columns that a run changes by having run: when and where a name was last offered, what its source notes for itself,
# and how often what fails was tried.
_LAST_SEEN: Final = ("last_seen", "attempts", "next_retry", "url", "etag", "extra", "selectors", "state")
_BOOKKEEPING: Final = {_MODELS: _LAST_SEEN, _SOURCES: ("listed",)}
# Files that follow from others, or tell of a run.
_FOLLOWING: Final = frozenset({
    manifest.TABLE, manifest.PATH, card.PATH, manifest.CHANGELOG, manifest.CHANGES, SIGNATURE, "analysis/run.json",
})  # fmt: skip
_DIGEST: Final = re.compile(rb"\b[0-9a-f]{64}\b|\d[\d.,]* ?(?:[kMG]B|\|)")


def has_reader_visible_change(changes: FileChanges, staged: StagedVersion, repository: Repository, head: str) -> bool:
    """Tell whether anything but times of looking differs from what is published at `head`.

    Where only `models` and `sources` changed they are fetched and compared without such columns.
    """
    if not changes.paths <= {*_BOOKKEEPING, *_FOLLOWING}:
        return True
    if card.PATH in changes.add:
        before = repository.read(card.PATH, head)
        if _DIGEST.sub(b"", before) != _DIGEST.sub(b"", (staged.folder / card.PATH).read_bytes()):
            return True
    tables = [path for path in _BOOKKEEPING if path in changes.paths]
    if any(path in changes.delete or path not in staged.files for path in tables):
        return True
    with TemporaryDirectory(prefix="filtercrawl-") as folder:
        repository.fetch(tables, head, Path(folder))
        return any(_lasting(Path(folder, path), path) != _lasting(staged.folder / path, path) for path in tables)


def _lasting(file: Path, path: str) -> list[dict[str, Any]]:
    quiet = _BOOKKEEPING[path]
    schema = pq.read_schema(file)
    rows: list[dict[str, Any]] = pq.read_table(file, columns=[n for n in schema.names if n not in quiet]).to_pylist()
    return rows
