"""The version that a release continues, and whether a dataset folder continues it already."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filtercrawl.api.errors import DatasetError, NotFoundError, PolicyError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.schema.arrow import SCHEMA_VERSION
from filtercrawl_publish.publishing.base_version import BaseVersion, recorded_base
from filtercrawl_publish.publishing.repository_state import RepositoryState, last_version
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.errors import published_meanwhile

__all__ = ["PublishedVersion", "check_continued", "continues", "manifest_root", "published_version"]


@dataclass(frozen=True, kw_only=True)
class PublishedVersion:
    """The version that a release continues.

    Attributes:
        base: Its name, commit and root hash.
        head: The latest commit of the repository; of somebody else where it is not that of the version.
        dataset_id: The id of the dataset.
    """

    base: BaseVersion
    head: str | None
    dataset_id: str


def published_version(repository: Repository, state: RepositoryState) -> PublishedVersion | None:
    """Return the version to continue; None if nothing is published yet.

    Args:
        repository: Where versions are published.
        state: Its head and tags.

    Raises:
        DatasetError: The version is none of this program, or of another schema version.
        NetworkError: The Hub could not be reached.
    """
    last = _last_version(repository, state)
    if last is None:
        return None
    version, commit = last
    content = _read_published_manifest(repository, version, commit)
    base = BaseVersion(repo=repository.id, version=version, commit=commit, root=str(content["root"]))
    return PublishedVersion(base=base, head=state.head, dataset_id=content["dataset_id"])


def check_continued(repository: Repository, state: RepositoryState, base: BaseVersion | None) -> None:
    """Check that no version was published since a folder was made to continue one: it would lack what that one has.

    Args:
        repository: Where versions are published.
        state: Its head and tags now.
        base: The version that the folder continues; None where nothing was published.

    Raises:
        ConflictError: There is another version.
    """
    last = _last_version(repository, state)
    if (None if last is None else last[1]) != (None if base is None else base.commit):
        raise published_meanwhile(repository.id)


def continues(dataset: Path, version: PublishedVersion) -> bool:
    """Return whether a folder continues a version as it is; else it is empty, or continues another one.

    Args:
        dataset: The dataset folder; locked.
        version: The last version.

    Raises:
        PolicyError: The folder holds another dataset, or one that continues no version.
    """
    if not (dataset / manifest.PATH).is_file():
        return False
    local, base = _read_json(dataset / manifest.PATH), version.base
    with Catalog(dataset) as catalog:
        previous, dataset_id = recorded_base(catalog), catalog.dataset_id
    if (dataset_id or local.get("dataset_id")) != version.dataset_id:
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
    return False


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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
