"""The static Space beside a dataset repository: the explorer's page, which reads the version that was published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import FiltercrawlError, PolicyError, UsageError
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.dataset.schema.version_order import release_order
from filtercrawl_analysis.explorer.page import CONFIG, readable
from filtercrawl_analysis.explorer.static_page import hub_config, write_space
from filtercrawl_publish.publishing.options import PublishOptions, SpaceResult
from filtercrawl_publish.publishing.run_log import log_step
from filtercrawl_publish.repository.base import CommitOperations, Repository, RepositoryFile
from filtercrawl_publish.repository.hub import HubRepository
from filtercrawl_publish.repository.open import is_hub_id
from filtercrawl_publish.repository.tables import published_table

__all__ = ["choose_space", "known_space", "update_space"]

_AUTO: Final = "auto"
# What a static Space is created with.
_INITIAL_FILES: Final = frozenset({".gitattributes", "README.md", "index.html", "style.css"})
# The owner of a Space may change its card: title, colors and text.
_CARD: Final = "README.md"
# Of these folders of a Space all files are the page's, so those of an older page are deleted.
_PAGE_FOLDERS: Final = ("js/", "vendor/")


def choose_space(repository: Repository, setting: str | None) -> str | None:
    """Return the id of the Space that is to show a repository; None for none.

    Args:
        repository: The dataset repository.
        setting: `org/name`, `auto` for the name of the dataset, or None.

    Raises:
        UsageError: The repository is a folder, or the setting is no name of a Space.
    """
    if setting is None:
        return None
    if repository.hub_id is None:
        raise UsageError(
            f"{repository.id}: a Space shows a repository on the Hub, and no folder; leave out --space, and "
            "`space` under [publish]"
        )
    if setting == _AUTO:
        return repository.hub_id
    if not is_hub_id(setting):
        raise UsageError(f"{setting!r} is not a Space: expected `org/name`, or `auto` for the name of the dataset")
    return setting


def known_space(repository: Repository, setting: str | None) -> str | None:
    """Return the setting for what takes a version back: else the page of the last version would go on showing it.

    Args:
        repository: The dataset repository; a folder has no Space.
        setting: What the settings say; None for the Space that the change log of the last version names. A rollback
            has the change log of the version that it restored, so that of the version before the rollback counts.

    Raises:
        NetworkError: The Hub could not be reached.
    """
    if repository.hub_id is None:
        return None
    if setting is not None:
        return setting
    head, tags = repository.head(), repository.tags()
    latest_first = [tags[tag] for tag in sorted(tags, key=release_order, reverse=True)]
    for commit in dict.fromkeys([head, *latest_first] if head else []):
        changes = _change_log(repository, commit)
        names = {tag for tag, tagged in tags.items() if tagged == commit}
        if not names or changes.get("version") in {None, *names}:  # its own, and no rollback's
            space = changes.get("space")
            return space if isinstance(space, str) and is_hub_id(space) else None
    return None


def _change_log(repository: Repository, commit: str) -> dict[str, Any]:
    """Return changes.json of a commit; empty where it has none that can be read."""
    if manifest.CHANGES not in repository.files(commit):
        return {}
    try:
        changes = json.loads(repository.read(manifest.CHANGES, commit))
    except (ValueError, RecursionError):
        return {}
    return changes if isinstance(changes, dict) else {}


def update_space(
    repository: Repository, options: PublishOptions, version: str | None, commit: str | None
) -> SpaceResult | None:
    """Let the Space show a commit of the repository, in one commit of its own; created if it does not exist.

    Nothing is sent where the Space has all files already. The version is published in any case, so a failure is no
    error but part of the result.

    Args:
        repository: The dataset repository.
        options: `space`, `dry_run` and `replace` are used.
        version: The version to show; None for a commit without a tag.
        commit: Its commit; None if it is still to be published.

    Returns:
        What was done; None if there is to be no Space.

    Raises:
        UsageError: See `choose_space`.
    """
    space_id = choose_space(repository, options.space)
    if space_id is None:
        return None
    assert isinstance(repository, HubRepository)  # what has an id on the Hub
    name = version or commit or "the next version"
    try:
        with log_step(space_id, name, "space"):
            if not options.dry_run:
                options.progress.message(f"updating the Space {space_id}")
            return _update(repository, repository.space(space_id), options, name, commit)
    except FiltercrawlError as error:
        if options.dry_run:
            return SpaceResult(id=space_id, outcome="failed", problem=f"the Space could not be updated: {error}")
        return SpaceResult(id=space_id, outcome="failed", problem=_problem(repository.id, space_id, name, error))


def _problem(repo_id: str, space_id: str, version: str, error: FiltercrawlError) -> str:
    problem = f"the Space was not updated, {repo_id} is complete: {error}"
    if isinstance(error, PolicyError):  # which says what to do
        return problem
    return (
        f"{problem}; run again, or `filtercrawl explore --dataset hub:{repo_id}@{version} --out DIR` and "
        f"`hf upload {space_id} DIR --repo-type space`"
    )


def _update(
    repository: HubRepository, space: HubRepository, options: PublishOptions, version: str, commit: str | None
) -> SpaceResult:
    if commit is not None and not repository.is_public():
        raise PolicyError(
            f"{repository.id} is private or gated, and the page of a Space reads without a token; leave out "
            "--space, or make the dataset public"
        )
    head = space.head()
    present = space.files(head) if head is not None else {}
    shown = _shown_dataset(space, head, present)
    if shown != repository.id and not options.replace and not present.keys() <= _INITIAL_FILES:
        raise PolicyError(
            f"{space.id} holds something else than the explorer of {repository.id}; name another Space by --space, or "
            "overwrite this one with --replace"
        )
    with temporary_folder() as folder:
        sizes = _file_sizes(repository, commit) if commit is not None else {}
        write_space(hub_config(repository.id, commit or "", readable(sizes)), folder)
        if shown == repository.id and _CARD in present:
            (folder / _CARD).unlink()
        operations = _compare(folder, present)
        files = len(operations.add) + len(operations.delete)
        if not operations:
            return SpaceResult(id=space.id, outcome="unchanged")
        if options.dry_run:
            return SpaceResult(id=space.id, outcome="planned", files=files)
        parent = head or space.create_if_missing()
        space.commit(operations, parent, f"Show {version}", f"{repository.id} at {commit}.")
    return SpaceResult(id=space.id, outcome="updated", files=files)


def _shown_dataset(space: HubRepository, head: str | None, present: Mapping[str, RepositoryFile]) -> str | None:
    """Return the dataset whose explorer a Space holds; None where it holds something else."""
    if head is None or CONFIG not in present:
        return None
    try:
        name = json.loads(space.read(CONFIG, head)).get("name")
    except (ValueError, AttributeError, RecursionError):
        return None
    return name if isinstance(name, str) else None


def _file_sizes(repository: HubRepository, commit: str) -> dict[str, int]:
    """Return the bytes of each file of a version, as its table `files` states them."""
    table = published_table(repository, commit, "files", ["path", "size"])
    return dict(zip(table["path"].to_pylist(), table["size"].to_pylist(), strict=True))


def _compare(folder: Path, present: Mapping[str, RepositoryFile]) -> CommitOperations:
    """Return what makes the Space's files those of the folder; other files of its owner stay."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    add = {name: path for name, path in files.items() if name not in present or not present[name].is_file(path)}
    delete = tuple(name for name in present if name.startswith(_PAGE_FOLDERS) and name not in files)
    return CommitOperations(add=add, delete=delete)
