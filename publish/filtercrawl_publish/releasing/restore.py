"""Restore the last version: download the tables, so that a release can start on an empty machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import DatasetError, NotFoundError, PolicyError
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
from filtercrawl.dataset.schema.arrow import SCHEMA_VERSION, TABLES
from filtercrawl.dataset.tables.restored_parts import note_restored_parts
from filtercrawl_publish.publishing.base_version import BaseVersion, record_base, recorded_base
from filtercrawl_publish.publishing.deferred_files import is_deferred, mark_deferred
from filtercrawl_publish.publishing.repository_state import RepositoryState, last_version
from filtercrawl_publish.publishing.version_files import version_files
from filtercrawl_publish.repository.base import Repository, RepositoryFile
from filtercrawl_publish.repository.digests import file_sha256

_LAYERS: Final = "data/layers/"


def restore_version(
    repository: Repository, state: RepositoryState, settings: Settings, progress: Progress
) -> BaseVersion | None:
    """Make the dataset folder continue the last version of a repository.

    An empty folder receives the tables and what else tells whether something has changed; `fetch_deferred` downloads
    figures and the like when a version is made. A folder that continues this version stays as it is, also with
    changes of its own. A folder that continues an earlier version is moved to the last one; its changes are read again
    by the next sync.

    The manifest is downloaded last: without it a folder counts as empty, so a restore that was killed is repeated.

    Args:
        repository: Where versions are published.
        state: Its head and tags.
        settings: Their `dataset` is the folder.
        progress: Receives a line.

    Returns:
        The version; None if nothing is published yet.

    Raises:
        PolicyError: The folder holds another dataset.
        DatasetError: The version is incomplete, or of another schema version.
        ConflictError: Another run is using the folder.
        NetworkError: The Hub could not be reached.
    """
    dataset, last = settings.dataset, _last_version(repository, state)
    if last is None:
        return None
    version, commit = last
    manifest_content = _read_published_manifest(repository, version, commit)
    base = BaseVersion(repo=repository.id, version=version, commit=commit, root=str(manifest_content["root"]))
    with locked(dataset, create=True):
        if settings.rebuild and has_table(dataset, "models"):
            open_catalog(settings).close()  # a damaged one could not say what it continues
        if (dataset / manifest.PATH).is_file() and _is_up_to_date(dataset, base, manifest_content):
            return base
        progress.message(f"continuing {version} of {repository.id}")
        _fetch_tables(repository, base, state.head, dataset)
        mark_deferred(dataset, repository, base.commit)
        _rebuild_catalog(repository.files(base.commit), base, settings)
    return base


def manifest_root(dataset: Path) -> str | None:
    """Return the root hash in the manifest of a folder; None if there is none."""
    root = _read_json(dataset / manifest.PATH).get("root")
    return root if isinstance(root, str) else None


def _last_version(repository: Repository, state: RepositoryState) -> tuple[str, str] | None:
    """Return name and commit of the version to continue: that of the head, or the latest one if the head has no tag.

    If there is no version at all, a head with a manifest counts as one.
    """
    head, version = state.head, last_version(repository, state.head, state.tags)
    if version is not None:
        return version, state.tags[version]
    return (head[:10], head) if head is not None and manifest.PATH in repository.files(head) else None


def _is_up_to_date(dataset: Path, base: BaseVersion, published: Mapping[str, Any]) -> bool:
    """Return whether the folder continues `base`; if not, remove its catalog so that it can be restored.

    Args:
        dataset: The dataset folder.
        base: The last version.
        published: Its manifest.

    Raises:
        PolicyError: The folder holds another dataset, or one that continues no version.
    """
    local = _read_json(dataset / manifest.PATH)
    with Catalog(dataset) as catalog:
        previous, dataset_id = recorded_base(catalog), catalog.dataset_id
    if (dataset_id or local.get("dataset_id")) != published["dataset_id"]:
        raise PolicyError(
            f"{dataset}: holds another dataset than {base.repo}; use another repository, or an empty --dataset"
        )
    if dataset_id and previous is not None and previous.commit == base.commit:
        return True
    if previous is None and local.get("root") != base.root:
        raise PolicyError(
            f"{dataset}: does not continue {base.version} of {base.repo}, whose content would be lost; "
            "use an empty --dataset to continue it"
        )
    Catalog.remove(dataset)
    remove(dataset / manifest.PATH)  # if this run is killed, the next one finds an empty folder
    return False


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


def _read_published_manifest(repository: Repository, version: str, commit: str) -> dict[str, Any]:
    try:
        content = json.loads(repository.read(manifest.PATH, commit))
        fields = {name: content[name] for name in ("root", "dataset_id", "schema_version")}
    except (NotFoundError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f"{repository.id}@{version}: not a filtercrawl dataset ({error})") from error
    if fields["schema_version"] != SCHEMA_VERSION:
        what = f"has schema version {fields['schema_version']!r}, this filtercrawl writes {SCHEMA_VERSION}"
        raise DatasetError(f"{repository.id}@{version}: {what}; update filtercrawl, or run `filtercrawl migrate`")
    return fields


def _read_file_list(dataset: Path) -> dict[str, tuple[int, str]]:
    return {file.path: (file.size, file.sha256) for file in DatasetFolder(dataset, "the last version").files()}


def _local_tables(dataset: Path) -> Iterable[str]:
    """Yield the tables in the folder."""
    for path in (path for name in TABLES for path in files_of(dataset, name)):
        yield path.relative_to(dataset).as_posix()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
