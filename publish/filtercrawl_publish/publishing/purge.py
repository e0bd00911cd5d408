"""Take files out of the history of a repo on the Hub, and with them the versions that have them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from filtercrawl.api.errors import PolicyError
from filtercrawl.api.transport import Transport
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.transport import hub
from filtercrawl_publish.repository.base import Repository, RepositoryFile
from filtercrawl_publish.repository.retry import retry_write

__all__ = ["PurgePlan", "plan_purge", "purge"]

_MODELS: Final = "data/models.parquet"
# Tables that hold numbers of the weights too: kernels, pictures and sums of them.
_WITH_NUMBERS: Final = ("data/samples", "data/preview", "data/sketches/", "data/kernels_3x3/")


@dataclass(frozen=True, kw_only=True)
class PurgePlan:
    """What is to go. tags: versions that hold weights of the checkpoints; files: of layers, in any commit."""

    tags: Mapping[str, str]
    files: frozenset[str]


def plan_purge(repository: Repository, models: Collection[str], transport: Transport) -> PurgePlan:
    """Find the versions that hold weights of these checkpoints, by the tables of every commit; deletes nothing.

    Raises RefusedError for a folder, and where the newest version still holds any.
    """
    head, tags = repository.head(), repository.tags()
    if Path(repository.load_location(head or "")[0]).is_dir():
        raise PolicyError(f"{repository.id}: is a folder, whose old versions are folders too: delete those by hand")
    with hub.translate_hub_errors(repository.id):
        commits = {
            commit.commit_id for commit in hub.api(transport).list_repo_commits(repository.id, repo_type="dataset")
        }
    held: dict[str, frozenset[str]] = {}
    seen: dict[str | None, frozenset[str]] = {}
    for commit in sorted(commits | {*tags.values()}):
        entry = repository.files(commit).get(_MODELS)
        if entry is None:
            held[commit] = frozenset()
            continue
        if entry.sha256 is None or entry.sha256 not in seen:
            seen[entry.sha256] = _files(repository, commit, models)
        held[commit] = seen[entry.sha256]
    if head is not None and held.get(head):
        raise PolicyError(f"{repository.id}: its newest version still holds {min(held[head])}; withdraw it first")
    broken = {name: commit for name, commit in sorted(tags.items()) if held[commit]}
    return PurgePlan(tags=broken, files=frozenset[str]().union(*held.values()))


def purge(repository: Repository, plan: PurgePlan, transport: Transport) -> list[str]:
    """Delete the tags, then the large files for good, from every commit; return the paths of the files.

    Beside the files of layers those tables go that hold kernels or sums of them and that no version has that stays.
    It cannot be undone. After a kill a new plan goes on with what is left.
    """
    api = hub.api(transport)
    for tag in plan.tags:

        def drop(tag: str = tag) -> bool:
            with hub.translate_hub_errors(f"{repository.id}: tag {tag}"):
                api.delete_tag(repository.id, tag=tag, repo_type="dataset")
            return True

        if tag in repository.tags():
            retry_write(f"{repository.id}: delete the tag {tag}", drop)
    stays: set[str | None] = set()
    for commit in {*repository.tags().values(), repository.head() or ""}:
        stays |= {entry.sha256 for entry in _large(repository.files(commit))}
    with hub.translate_hub_errors(repository.id):
        every = list(api.list_lfs_files(repository.id, repo_type="dataset"))
        doomed = [
            file
            for file in every
            if file.file_oid not in stays and (file.filename in plan.files or file.filename.startswith(_WITH_NUMBERS))
        ]
        if doomed:
            api.permanently_delete_lfs_files(repository.id, doomed, rewrite_history=True, repo_type="dataset")
    return sorted({file.filename for file in doomed})


def _large(files: Mapping[str, RepositoryFile]) -> Iterator[RepositoryFile]:
    return (entry for entry in files.values() if entry.sha256 is not None)


def _files(repository: Repository, commit: str, models: Collection[str]) -> frozenset[str]:
    """Return the files of layers of these checkpoints in one version."""
    with TemporaryDirectory(prefix="filtercrawl-") as folder:
        repository.fetch([_MODELS], commit, Path(folder))
        version = DatasetFolder(Path(folder), f"{repository.id}@{commit[:10]}")
        table = version.table("models", ["model_id", "layers_file"])
    rows = zip(table["model_id"].to_pylist(), table["layers_file"].to_pylist(), strict=True)
    return frozenset(file for model_id, file in rows if model_id in models and file is not None)
