"""Delete the weights of withdrawn models from the history of a Hub repository, and the versions that contain them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import PolicyError
from filtercrawl.api.transport import Transport
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.table_files import paths_of
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.transport import hub
from filtercrawl_publish.repository.base import Repository, RepositoryFile
from filtercrawl_publish.repository.write_retry import retry_write

__all__ = ["PurgePlan", "plan_purge", "purge_history"]

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


def plan_purge(repository: Repository, models: Collection[str], transport: Transport) -> PurgePlan:
    """Find the versions and files that contain weights of these models, using the tables of all commits.

    Args:
        repository: On the Hub.
        models: Model ids.
        transport: For requests to the Hub.

    Raises:
        PolicyError: The repository is a folder, or its latest version still contains weights of a model.
        DatasetError: `models` of a version cannot be read.
    """
    head, tags = repository.head(), repository.tags()
    if Path(repository.load_location(head or "")[0]).is_dir():
        raise PolicyError(f"{repository.id}: versions in a folder cannot be purged; delete their folders by hand")
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
    affected = {name: commit for name, commit in sorted(tags.items()) if files_by_commit[commit]}
    return PurgePlan(tags=affected, files=frozenset[str]().union(*files_by_commit.values()))


def purge_history(repository: Repository, plan: PurgePlan, transport: Transport) -> list[str]:
    """Delete the tags of a plan, then its large files from every commit. This cannot be undone.

    Besides the layers files, tables that are derived from weights are deleted if no remaining version has them. If the
    process is killed, a new plan covers the rest.

    Returns:
        The paths of the deleted files.
    """
    api = hub.api(transport)

    def delete_tag(tag: str) -> bool:
        with hub.translate_hub_errors(f"{repository.id}: tag {tag}"):
            api.delete_tag(repository.id, tag=tag, repo_type="dataset")
        return True

    for tag in plan.tags:
        if tag in repository.tags():
            retry_write(f"{repository.id}: delete the tag {tag}", partial(delete_tag, tag))
    kept: set[str | None] = set()
    for commit in {*repository.tags().values(), repository.head() or ""}:
        kept |= {file.sha256 for file in _large_files(repository.files(commit))}
    with hub.translate_hub_errors(repository.id):
        stored = list(api.list_lfs_files(repository.id, repo_type="dataset"))
        deleted = [
            file
            for file in stored
            if file.file_oid not in kept
            and (file.filename in plan.files or file.filename.startswith(_DERIVED_FROM_WEIGHTS))
        ]
        if deleted:
            api.permanently_delete_lfs_files(repository.id, deleted, rewrite_history=True, repo_type="dataset")
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
