"""How a release begins: with the state of the last one, also on an empty machine, and without its weights."""

from __future__ import annotations

import hashlib
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
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.dataset.schema.arrow import SCHEMA_VERSION, TABLES
from filtercrawl_publish.publishing.base_version import BaseVersion, record_base
from filtercrawl_publish.repository.base import Repository, RepositoryFile
from filtercrawl_publish.repository.version_names import current

MODELS: Final = "data/models.parquet"
_LAYERS: Final = "data/layers/"


def restore_version(repository: Repository, settings: Settings, progress: Progress) -> BaseVersion | None:
    """Make the folder of `settings` go on from the last version at `repository`; None where there is none yet.

    An empty folder gets everything of it but the weights; one that goes on from it already stays as it is; one that
    somebody has overtaken goes on from the newer version. Raises RefusedError where the folder holds something else,
    DatasetError where the version is not whole, BusyError and NetworkError.
    """
    dataset, last = settings.dataset, _last(repository)
    if last is None:
        return None
    version, commit = last
    stated = _manifest(repository, version, commit)
    base = BaseVersion(repo=repository.id, version=version, commit=commit, root=str(stated["root"]))
    with locked(dataset):
        if (dataset / MODELS).is_file() and _is_up_to_date(dataset, base, stated):
            return base
        progress.message(f"going on from {version} of {repository.id}")
        _fetch(repository, base, dataset)
        _use_layers(repository.files(base.commit), base, settings)
    return base


def root_of(dataset: Path) -> str | None:
    """Return the root hash in the manifest of a folder; None where there is none."""
    return _text(_read(dataset / manifest.PATH).get("root"))


def _last(repository: Repository) -> tuple[str, str] | None:
    """Return name and commit of the version to go on from: that of the head; where its tag is missing, the latest one.

    A head of ours without any version is taken as it is.
    """
    head, tags = repository.head(), repository.tags()
    version = current(head, tags)
    if version is not None:
        return version, tags[version]
    return (head[:10], head) if head is not None and manifest.PATH in repository.files(head) else None


def _is_up_to_date(dataset: Path, base: BaseVersion, stated: Mapping[str, Any]) -> bool:
    """Tell whether the folder stays as it is; clears the way for a newer version where it does not."""
    here = _read(dataset / manifest.PATH)
    with Catalog(dataset) as catalog:
        noted, known = catalog.release, catalog.dataset_id
    if (known or here.get("dataset_id")) != stated["dataset_id"]:
        raise PolicyError(
            f"{dataset}: holds another dataset than {base.repo}; release it to another repo, or name an empty --dataset"
        )
    before = None if noted is None else BaseVersion(**json.loads(noted))
    if known and before is not None and before.commit == base.commit:
        return True
    if before is None and here.get("root") != base.root:
        raise PolicyError(
            f"{dataset}: was not made from {base.version} of {base.repo}, and what is published would be lost; "
            f"name an empty --dataset to go on from it"
        )
    Catalog.remove(dataset)
    remove(dataset / MODELS)  # if this run is killed, the next one begins with an empty folder
    return False


def _fetch(repository: Repository, base: BaseVersion, dataset: Path) -> None:
    """Bring every file but the layers; by the last one a folder is told from an empty one."""
    small = sorted(path for path in repository.files(base.commit) if not path.startswith(_LAYERS) and path[0] != ".")
    for path in _tables(dataset):
        if path not in small:
            remove(dataset / path)
    repository.fetch([path for path in small if path != MODELS], base.commit, dataset)
    head = repository.head()
    if head not in (None, base.commit):  # the words of a card may have been changed by hand since
        with suppress(NotFoundError), atomic_write(dataset / card.PATH, dataset) as scratch:
            scratch.write_bytes(repository.read(card.PATH, str(head)))
    repository.fetch([MODELS], base.commit, dataset)


def _use_layers(entries: Mapping[str, RepositoryFile], base: BaseVersion, settings: Settings) -> None:
    """Make the catalog from the tables, and note which files of layers the version holds."""
    dataset = settings.dataset
    rows = _files(dataset)
    for path, (_, sha256) in rows.items():
        if not path.startswith(_LAYERS) and (dataset / path).is_file() and _sha256(dataset / path) != sha256:
            raise DatasetError(f"{base.repo}@{base.version}: {path} is not the file that {manifest.TABLE} lists")
    with open_catalog(replace(settings, rebuild=False)) as catalog:
        catalog.set_meta("stale", "0")  # the tables are those that it was made from
    held = [
        (path, sha256)
        for path, (size, sha256) in rows.items()
        if path.startswith(_LAYERS) and path in entries and entries[path].size == size
        and entries[path].sha256 in (None, sha256)
    ]  # fmt: skip
    record_base(dataset, base, held)


def _manifest(repository: Repository, version: str, commit: str) -> dict[str, Any]:
    try:
        stated = json.loads(repository.read(manifest.PATH, commit))
        found = {name: stated[name] for name in ("root", "dataset_id", "schema_version")}
    except (NotFoundError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(
            f"{repository.id}@{version}: is no version of a dataset of this program ({error})"
        ) from error
    if found["schema_version"] != SCHEMA_VERSION:
        what = f"has schema version {found['schema_version']!r}, this program writes {SCHEMA_VERSION}"
        raise DatasetError(f"{repository.id}@{version}: {what}; update it, or run `filtercrawl migrate`")
    return found


def _files(dataset: Path) -> dict[str, tuple[int, str]]:
    return {file.path: (file.size, file.sha256) for file in DatasetFolder(dataset, "the last version").files()}


def _tables(dataset: Path) -> Iterable[str]:
    """Yield the tables that lie in the folder, as an export writes them."""
    for path in (path for name in TABLES for path in files_of(dataset, name)):
        yield path.relative_to(dataset).as_posix()


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
