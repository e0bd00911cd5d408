"""Detect whether a new version changes anything besides bookkeeping columns such as `last_seen` and `attempts`."""

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

# Columns that change with every run: when and where a checkpoint was last offered, the state that its source keeps,
# and how often a failed one was tried.
_BOOKKEEPING_COLUMNS: Final = {
    "data/models.parquet": (
        "last_seen", "attempts", "next_retry", "url", "etag", "extra", "selectors", "state",
    ),
    "data/sources.parquet": ("listed",),
}  # fmt: skip
# Files that are derived from the others, or describe the run.
_DERIVED_FILES: Final = frozenset({
    manifest.TABLE, manifest.PATH, card.PATH, SIGNATURE, manifest.RUN, *manifest.SINGLE_FILES,
})  # fmt: skip
# Parts of the card that follow from the bytes of files: digests and sizes.
_DERIVED_TEXT: Final = re.compile(rb"\b[0-9a-f]{64}\b|\d[\d.,]* ?(?:[kMG]B|\|)")


def has_reader_visible_change(changes: FileChanges, staged: StagedVersion, repository: Repository, head: str) -> bool:
    """Return whether a staged version differs from `head` in anything but bookkeeping.

    If only `models` and `sources` changed, these tables of `head` are downloaded and compared without their
    bookkeeping columns.
    """
    if not changes.paths <= {*_BOOKKEEPING_COLUMNS, *_DERIVED_FILES}:
        return True
    if card.PATH in changes.add and not same_card_text(
        repository.read(card.PATH, head), (staged.folder / card.PATH).read_bytes()
    ):
        return True
    tables = [path for path in _BOOKKEEPING_COLUMNS if path in changes.paths]
    if any(path in changes.delete or path not in staged.files for path in tables):
        return True
    with TemporaryDirectory(prefix="filtercrawl-") as folder:
        repository.fetch(tables, head, Path(folder))
        return any(content_rows(Path(folder), path) != content_rows(staged.folder, path) for path in tables)


def same_card_text(before: bytes, after: bytes) -> bool:
    """Return whether two cards differ at most in digests and sizes of files."""
    return _DERIVED_TEXT.sub(b"", before) == _DERIVED_TEXT.sub(b"", after)


def content_rows(folder: Path, path: str) -> list[dict[str, Any]]:
    """Read a table of a dataset folder without its bookkeeping columns."""
    file = folder / path
    columns = [name for name in pq.read_schema(file).names if name not in _BOOKKEEPING_COLUMNS[path]]
    rows: list[dict[str, Any]] = pq.read_table(file, columns=columns).to_pylist()
    return rows
