"""Read the tables of a published version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.table_files import paths_of
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl_publish.repository.base import Repository


def published_table(repository: Repository, commit: str, table: str, columns: Sequence[str]) -> pa.Table:
    """Download columns of a table of a version; empty where it has none.

    Raises:
        DatasetError: A file cannot be read.
        NetworkError: The Hub could not be reached.
    """
    with temporary_folder() as folder:
        fetch_tables(repository, commit, [table], folder)
        return DatasetFolder(folder, f"{repository.id}@{commit[:10]}").table(table, columns)


def fetch_tables(repository: Repository, commit: str, tables: Iterable[str], folder: Path) -> None:
    """Download the files of tables of a version into a folder."""
    files = repository.files(commit)
    repository.fetch([path for table in tables for path in paths_of(files, table)], commit, folder)
