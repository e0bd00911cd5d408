"""The outline of the last version: enough of it to find out whether anything is new, in a few small files."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from filtercrawl.api.errors import DatasetError
from filtercrawl.config import Settings
from filtercrawl.dataset.catalog.recovery import open_catalog
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import move, write_text
from filtercrawl.dataset.files.lock import locked
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.table_files import Part, paths_of, table_path
from filtercrawl.dataset.files.unpublished import CATALOG, OUTLINE
from filtercrawl.dataset.schema.arrow import SCHEMA_VERSION
from filtercrawl.pipeline.outline_catalog import OutlineCatalog
from filtercrawl_publish.publishing.base_version import record_base, recorded_base
from filtercrawl_publish.publishing.checkpoints_file import CHECKPOINTS, is_made_from
from filtercrawl_publish.releasing.published_version import PublishedVersion, continues
from filtercrawl_publish.repository.base import Repository

__all__ = ["open_outline", "remove_outline"]

logger = logging.getLogger(__name__)

# What a run compares its listings with, besides the checkpoints.
_LISTINGS: Final = ("sources", "renames", "withdrawn")


def open_outline(repository: Repository, version: PublishedVersion, settings: Settings) -> Path | None:
    """Return the folder of the outline of a version, inside of the dataset folder; the last one is kept.

    Args:
        repository: Where the version is published.
        version: The version.
        settings: Their `dataset` is the folder.

    Returns:
        The folder; None where the dataset folder holds a dataset, which is to continue the version itself, or where the
        version has no outline, as those of earlier programs.

    Raises:
        PolicyError: The dataset folder holds another dataset.
        ConflictError: Another run is using it.
        NetworkError: The Hub could not be reached.
    """
    dataset = settings.dataset
    folder = dataset / OUTLINE
    with locked(dataset, create=True):
        if continues(dataset, version) or (dataset / manifest.PATH).is_file():
            return None
        if _is_outline_of(folder, version):
            return folder
        remove_outline(dataset)
        try:
            return folder if _make(repository, version, replace(settings, dataset=folder)) else None
        except (DatasetError, OSError, ValueError, pa.ArrowException) as error:
            logger.info("%s@%s: no outline (%s)", repository.id, version.base.version, error)
            return None


def remove_outline(dataset: Path) -> None:
    """Delete the outline in a dataset folder: it has the dataset itself now."""
    shutil.rmtree(dataset / OUTLINE, ignore_errors=True)


def _is_outline_of(folder: Path, version: PublishedVersion) -> bool:
    if not (folder / CATALOG).is_file():
        return False
    try:
        with OutlineCatalog(folder) as catalog:
            return recorded_base(catalog) == version.base and catalog.is_sound()
    except (DatasetError, sqlite3.DatabaseError):
        return False


def _make(repository: Repository, version: PublishedVersion, settings: Settings) -> bool:
    """Download what an outline is made of; which version it is of is noted last. False where the version has none."""
    folder, base = settings.dataset, version.base
    files = repository.files(base.commit)
    if CHECKPOINTS not in files:
        return False
    listings = [path for path in map(table_path, _LISTINGS) if path in files]
    repository.fetch([CHECKPOINTS, *listings], base.commit, folder)
    stated = ((path, files[path]) for path in paths_of(files, "models"))
    models = [File(path=path, size=file.size, sha256=file.sha256 or "") for path, file in stated]
    if not is_made_from(folder / CHECKPOINTS, models):
        return False
    (folder / "data/models").mkdir()
    move(folder / CHECKPOINTS, folder / table_path("models", Part()))
    about = {"dataset_id": version.dataset_id, "schema_version": SCHEMA_VERSION}
    write_text(folder / manifest.PATH, folder, json.dumps(about))
    open_catalog(replace(settings, rebuild=False)).close()
    record_base(folder, base, ())
    return True
