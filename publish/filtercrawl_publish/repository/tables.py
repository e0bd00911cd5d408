"""Read the tables of a published version."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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


def fetch_tables(
    repository: Repository, commit: str, tables: Iterable[str], folder: Path, without: Collection[str] = ()
) -> None:
    """Download the files of tables of a version into a folder, but for those whose paths are in `without`."""
    files = repository.files(commit)
    paths = [path for table in tables for path in paths_of(files, table)]
    repository.fetch([path for path in paths if path not in without], commit, folder)


def unchanged_files(repository: Repository, commit: str, table: str, folder: Path) -> frozenset[str]:
    """Return the paths of the files of a table that a version and a dataset folder both have, by their digests.

    Raises:
        DatasetError: The folder's list of files cannot be read.
        NetworkError: The Hub could not be reached.
    """
    files = repository.files(commit)
    listed = {file.path: file.sha256 for file in DatasetFolder(folder).files()}
    both = (path for path in paths_of(files, table) if path in listed and (folder / path).is_file())
    return frozenset(path for path in both if files[path].is_file(folder / path, listed[path]))
