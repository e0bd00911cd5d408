"""Detect whether a new version changes anything besides bookkeeping columns such as `last_seen` and `attempts`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from filtercrawl.dataset.card import card
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.table_files import table_of
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl_publish.publishing.staging import StagedVersion
from filtercrawl_publish.publishing.upload import FileChanges
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.signature import SIGNATURE

__all__ = ["has_reader_visible_change"]

# Columns that change with every run: when and where a checkpoint was last offered, the state that its source keeps,
# and how often a failed one was tried.
_BOOKKEEPING_COLUMNS: Final = {
    "models": (
        "last_seen", "attempts", "next_retry", "url", "etag", "extra", "selectors", "state",
    ),
    "sources": ("listed",),
}  # fmt: skip
# Files that are derived from the others, or describe the run.
_DERIVED_FILES: Final = frozenset({
    manifest.PATH, card.PATH, SIGNATURE, *manifest.ABOUT_RUNS, *manifest.SINGLE_FILES,
})  # fmt: skip
# Parts of the card that follow from the bytes of files: digests and sizes.
_DERIVED_TEXT: Final = re.compile(rb"\b[0-9a-f]{64}\b|\d[\d.,]* ?(?:[kMG]B|\|)")


def has_reader_visible_change(changes: FileChanges, staged: StagedVersion, repository: Repository, head: str) -> bool:
    """Return whether a staged version differs from `head` in anything but bookkeeping.

    If only `models` and `sources` changed, the files of these tables that differ are downloaded from `head` and
    compared without their bookkeeping columns.
    """
    tables: dict[str, list[str]] = {}
    for path in changes.paths - _DERIVED_FILES:
        tables.setdefault(table_of(path) or "", []).append(path)
    if not tables.keys() <= {*_BOOKKEEPING_COLUMNS, "files"}:
        return True
    if card.PATH in changes.add and not same_card_text(
        repository.read(card.PATH, head), (staged.folder / card.PATH).read_bytes()
    ):
        return True
    published = repository.files(head)
    with temporary_folder() as before:
        for name in _BOOKKEEPING_COLUMNS:
            paths = sorted(tables.get(name, ()))
            repository.fetch([path for path in paths if path in published], head, before)
            if content_rows(before, name, paths) != content_rows(staged.folder, name, paths):
                return True
    return False


def same_card_text(before: bytes, after: bytes) -> bool:
    """Return whether two cards differ at most in digests and sizes of files."""
    return _DERIVED_TEXT.sub(b"", before) == _DERIVED_TEXT.sub(b"", after)


def content_rows(folder: Path, table: str, paths: Iterable[str]) -> list[dict[str, Any]]:
    """Read files of a table without its bookkeeping columns, those of them that the folder has; by their first column.

    Which file has a row is no content.
    """
    rows: list[dict[str, Any]] = []
    for path in (folder / name for name in paths):
        if path.is_file():
            columns = [name for name in pq.read_schema(path).names if name not in _BOOKKEEPING_COLUMNS[table]]
            rows += pq.read_table(path, columns=columns).to_pylist()
    return sorted(rows, key=lambda row: str(next(iter(row.values()))))
