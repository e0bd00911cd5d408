"""Delete the weights of withdrawn models from the history of a Hub repository, and the versions that contain them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from filtercrawl.api.errors import PolicyError
from filtercrawl.api.transport import Transport
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.table_files import paths_of
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.transport import hub
from filtercrawl_publish.repository.base import Repository, RepositoryFile
from filtercrawl_publish.repository.write_retry import retry_write

if TYPE_CHECKING:
    from huggingface_hub.hf_api import LFSFileInfo

__all__ = ["PurgePlan", "check_purge", "plan_purge", "purge_history"]

# Tables with kernels, factors, pictures or statistics of the weights.
_DERIVED_FROM_WEIGHTS: Final = (
    "data/samples",
    "data/preview",
    "data/sketches/",
    "data/effective/",
    "data/kernels_3x3/",
    manifest.PICTURE,
)


@dataclass(frozen=True, kw_only=True)
class PurgePlan:
    """What a purge deletes.

    Attributes:
        tags: Commit by tag, of the versions that contain weights of the models.
        files: Paths of their layers files, in any commit.
    """

    tags: Mapping[str, str]
    files: frozenset[str]


def check_purge(repository: Repository, transport: Transport) -> None:
    """Check that large files can be purged here at all, in one request.

    Raises:
        PolicyError: The repository is a folder.
        AccessDeniedError: The token may not.
    """
    if repository.hub_id is None:
        raise PolicyError(f"{repository.id}: versions in a folder cannot be purged; delete their folders by hand")
    with hub.translate_hub_errors(repository.id):
        next(iter(hub.api(transport).list_lfs_files(repository.id, repo_type="dataset")), None)


def plan_purge(repository: Repository, models: Collection[str], transport: Transport) -> PurgePlan:
    """Find the versions and files that contain weights of these models, using the tables of all commits.

    Nothing is deleted yet, and the last question is whether large files can be purged.

    Args:
        repository: On the Hub.
        models: Model ids.
        transport: For requests to the Hub.

    Raises:
        PolicyError: The repository is a folder, or its latest version still contains weights of a model.
        AccessDeniedError: The token may not purge.
        DatasetError: `models` of a version cannot be read.
    """
    head, tags = repository.refs()
    with hub.translate_hub_errors(repository.id):
        commits = {
            commit.commit_id for commit in hub.api(transport).list_repo_commits(repository.id, repo_type="dataset")
        }
    files_by_commit: dict[str, frozenset[str]] = {}
    files_by_digest: dict[str | None, frozenset[str]] = {}  # versions often share the same part of the table
    for commit in sorted(commits | {*tags.values()}):
        files = repository.files(commit)
        found: set[str] = set()
        for path in paths_of(files, "models"):
            digest = files[path].sha256
            if digest is None or digest not in files_by_digest:
                files_by_digest[digest] = _layers_files(repository, commit, path, models)
            found |= files_by_digest[digest]
        files_by_commit[commit] = frozenset(found)
    if head is not None and files_by_commit.get(head):
        raise PolicyError(
            f"{repository.id}: the latest version still contains {min(files_by_commit[head])}; withdraw it first"
        )
    check_purge(repository, transport)
    affected = {name: commit for name, commit in sorted(tags.items()) if files_by_commit[commit]}
    return PurgePlan(tags=affected, files=frozenset[str]().union(*files_by_commit.values()))


def purge_history(repository: Repository, plan: PurgePlan, transport: Transport) -> list[str]:
    """Delete the tags of a plan, then its large files from every commit. This cannot be undone.

    Besides the layers files, tables that are derived from weights are deleted if no remaining version has them. In this
    order no version lacks a file at any moment. If the process is killed, a new plan covers the rest.

    Returns:
        The paths of the deleted files.
    """
    api = hub.api(transport)

    def delete_tag(tag: str) -> bool:
        api.delete_tag(repository.id, tag=tag, repo_type="dataset")
        return True

    def is_deleted(tag: str) -> bool | None:
        return True if tag not in repository.tags() else None

    for tag in plan.tags:
        if not is_deleted(tag):
            name = f"{repository.id}: delete the tag {tag}"
            retry_write(name, partial(delete_tag, tag), partial(is_deleted, tag))

    def purgeable() -> list[LFSFileInfo]:
        with hub.translate_hub_errors(repository.id):
            return [
                file
                for file in api.list_lfs_files(repository.id, repo_type="dataset")
                if file.file_oid not in kept
                and (file.filename in plan.files or file.filename.startswith(_DERIVED_FROM_WEIGHTS))
            ]

    def delete_files() -> bool:
        api.permanently_delete_lfs_files(repository.id, deleted, rewrite_history=True, repo_type="dataset")
        return True

    kept: set[str | None] = set()
    for commit in {*repository.tags().values(), repository.head() or ""}:
        kept |= {file.sha256 for file in _large_files(repository.files(commit))}
    deleted = purgeable()
    if deleted:
        retry_write(f"{repository.id}: purge files", delete_files, lambda: None if purgeable() else True)
    return sorted({file.filename for file in deleted})


def _large_files(files: Mapping[str, RepositoryFile]) -> Iterator[RepositoryFile]:
    return (file for file in files.values() if file.sha256 is not None)


def _layers_files(repository: Repository, commit: str, path: str, models: Collection[str]) -> frozenset[str]:
    """Return the layers files of these models by one part of the table `models` of a version."""
    with temporary_folder() as folder:
        repository.fetch([path], commit, folder)
        version = DatasetFolder(folder, f"{repository.id}@{commit[:10]}")
        table = version.table("models", ["model_id", "layers_file"])
    rows = zip(table["model_id"].to_pylist(), table["layers_file"].to_pylist(), strict=True)
    return frozenset(file for model_id, file in rows if model_id in models and file is not None)
