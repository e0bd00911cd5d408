"""Open a repository by its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import UsageError
from filtercrawl.api.transport import Transport
from filtercrawl.dataset.files.dataset_folder import DatasetFolder, no_dataset
from filtercrawl_publish.repository.base import Repository

__all__ = ["is_hub_id", "open_head", "open_repository", "open_to_read"]

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_HUB_REPOSITORY: Final = re.compile(rf"({_NAME}/{_NAME})(?:@(.+))?")


def open_repository(name: str, transport: Transport) -> Repository:
    """Open a repository for reading and writing; sends no request.

    Args:
        name: `org/name` or `org/name@revision` on the Hub, or a folder, with `@revision` if wanted. A folder starts
            with `/`, `./`, `../` or `~`, or is an existing directory.
        transport: Used for all requests to the Hub.

    Raises:
        UsageError: The name is neither.
    """
    from filtercrawl_publish.repository.folder import FolderRepository
    from filtercrawl_publish.repository.hub import HubRepository

    path, at, revision = name.rpartition("@")
    if name in (".", "..") or name.startswith(("/", "./", "../", "~")) or (name and Path(name).is_dir()):
        if at and not Path(name).expanduser().exists():
            return FolderRepository(path, revision)
        return FolderRepository(name)
    if path and Path(path).is_dir():
        return FolderRepository(path, revision)
    match = _HUB_REPOSITORY.fullmatch(name)
    if match is None or not is_hub_id(match[1]):
        raise UsageError(
            f"{name!r} is not a repository: expected `org/name` or `org/name@revision` on the Hub, or a folder `./name`"
        )
    return HubRepository(match[1], transport, match[2])


def is_hub_id(name: str) -> bool:
    """Tell whether the Hub allows a name as `org/name`."""
    match = _HUB_REPOSITORY.fullmatch(name)
    return match is not None and match[1] == name and not (".." in name or "--" in name or name.endswith(".git"))


def open_to_read(name: str, transport: Transport) -> Repository:
    """Open a repository that is only read; a folder must hold a dataset or versions of one.

    Raises:
        DatasetError: The name is neither that of a dataset folder nor of a repository.
    """
    from filtercrawl_publish.repository.folder import FolderRepository

    try:
        repository = open_repository(name, transport)
    except UsageError as error:
        raise no_dataset(name) from error
    if isinstance(repository, FolderRepository):
        folder = Path(repository.id).expanduser()
        if not DatasetFolder(folder).exists() and not repository.tags():
            raise no_dataset(folder)
    return repository


def open_head(name: str, transport: Transport) -> Repository:
    """Open a repository to write a new version to.

    Raises:
        UsageError: The name is no repository, or names a revision.
    """
    repository = open_repository(name, transport)
    if repository.revision is not None:
        raise UsageError(f"{name!r}: new versions go on top of the latest one; remove @{repository.revision}")
    return repository
