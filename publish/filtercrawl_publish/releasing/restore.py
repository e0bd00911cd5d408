"""Restore the last version: download the tables, so that a release can start on an empty machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import DatasetError, NotFoundError
from filtercrawl.api.progress import Progress
from filtercrawl.config import Settings
from filtercrawl.dataset.card import card
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.recovery import open_catalog
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import atomic_write, remove
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.lock import locked
from filtercrawl.dataset.files.table_files import files_of, has_table
from filtercrawl.dataset.schema.arrow import TABLES
from filtercrawl.dataset.tables.restored_parts import note_restored_parts
from filtercrawl_publish.publishing.base_version import BaseVersion, record_base
from filtercrawl_publish.publishing.deferred_files import is_deferred, mark_deferred
from filtercrawl_publish.publishing.version_files import version_files
from filtercrawl_publish.releasing.outline import remove_outline
from filtercrawl_publish.releasing.published_version import PublishedVersion, continues
from filtercrawl_publish.repository.base import Repository, RepositoryFile
from filtercrawl_publish.repository.digests import file_sha256

_LAYERS: Final = "data/layers/"


def restore_version(repository: Repository, version: PublishedVersion, settings: Settings, progress: Progress) -> bool:
    """Make the dataset folder continue the last version of a repository.

    An empty folder receives the tables and what else tells whether something has changed; `fetch_deferred` downloads
    figures and the like when a version is made. A folder that continues this version stays as it is, also with
    changes of its own. A folder that continues an earlier version is moved to the last one; its changes are read again
    by the next sync.

    The manifest is downloaded last: without it a folder counts as empty, so a restore that was killed is repeated.

    Args:
        repository: Where versions are published.
        version: The version.
        settings: Their `dataset` is the folder.
        progress: Receives a line.

    Returns:
        Whether it was made to; False where it did already.

    Raises:
        PolicyError: The folder holds another dataset.
        DatasetError: The version is incomplete.
        ConflictError: Another run is using the folder.
        NetworkError: The Hub could not be reached.
    """
    dataset, base = settings.dataset, version.base
    with locked(dataset, create=True):
        if settings.rebuild and has_table(dataset, "models"):
            open_catalog(settings).close()  # a damaged one could not say what it continues
        if continues(dataset, version):
            remove_outline(dataset)
            return False
        progress.message(f"continuing {base.version} of {repository.id}")
        if (dataset / manifest.PATH).is_file():
            Catalog.remove(dataset)
            remove(dataset / manifest.PATH)  # if this run is killed, the next one finds an empty folder
        _fetch_tables(repository, base, version.head, dataset)
        mark_deferred(dataset, repository, base.commit)
        _rebuild_catalog(repository.files(base.commit), base, settings)
        remove_outline(dataset)
    return True


def _fetch_tables(repository: Repository, base: BaseVersion, head: str | None, dataset: Path) -> None:
    """Download the tables and the card; the manifest last, because a folder with it counts as restored."""
    listed = version_files(repository.files(base.commit))
    small = sorted(path for path in listed if not (path.startswith(_LAYERS) or is_deferred(path)))
    for path in _local_tables(dataset):
        if path not in small:
            remove(dataset / path)
    for path, file in listed.items():  # of an earlier version, in a folder that was behind
        if is_deferred(path) and (dataset / path).is_file() and not file.is_file(dataset / path):
            remove(dataset / path)
    repository.fetch([path for path in small if path != manifest.PATH], base.commit, dataset)
    if head not in (None, base.commit):  # the card may have been edited by hand since
        with suppress(NotFoundError), atomic_write(dataset / card.PATH, dataset) as temporary:
            temporary.write_bytes(repository.read(card.PATH, str(head)))
    repository.fetch([manifest.PATH], base.commit, dataset)


def _rebuild_catalog(published: Mapping[str, RepositoryFile], base: BaseVersion, settings: Settings) -> None:
    """Create the catalog from the tables, and record which layers files the version holds."""
    dataset = settings.dataset
    rows = _read_file_list(dataset)
    for path, (_, sha256) in rows.items():
        if not path.startswith(_LAYERS) and (dataset / path).is_file() and file_sha256(dataset / path) != sha256:
            raise DatasetError(f"{base.repo}@{base.version}: {path} differs from {manifest.TABLE}")
    with open_catalog(replace(settings, rebuild=False)) as catalog:
        note_restored_parts(dataset, catalog)
        catalog.set_meta("stale", "0")  # it was created from these tables
    layers = [
        (path, sha256)
        for path, (size, sha256) in rows.items()
        if path.startswith(_LAYERS) and path in published and published[path].size == size
        and published[path].sha256 in (None, sha256)
    ]  # fmt: skip
    record_base(dataset, base, layers)


def _read_file_list(dataset: Path) -> dict[str, tuple[int, str]]:
    return {file.path: (file.size, file.sha256) for file in DatasetFolder(dataset, "the last version").files()}


def _local_tables(dataset: Path) -> Iterable[str]:
    """Yield the tables in the folder."""
    for path in (path for name in TABLES for path in files_of(dataset, name)):
        yield path.relative_to(dataset).as_posix()
