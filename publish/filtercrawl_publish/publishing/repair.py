"""Restore `main` where a commit of somebody else deleted or changed files of the last version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from filtercrawl.api.errors import DatasetError, NotFoundError, PolicyError
from filtercrawl.api.formatting import escape_control, format_plural
from filtercrawl.dataset.card import card
from filtercrawl.dataset.files import manifest
from filtercrawl_publish.publishing.options import PublishOptions
from filtercrawl_publish.publishing.repository_state import TITLE_PREFIX, RepositoryState, last_version
from filtercrawl_publish.publishing.version_files import differs, version_files
from filtercrawl_publish.publishing.withdrawal_guard import check_withdrawals, published_models
from filtercrawl_publish.repository.base import CommitOperations, Repository

__all__ = ["Damage", "find_damage", "repair_head"]

# Parts of the header of a card that `datasets` reads; the rest of a card may be edited by hand.
_READ_BY_DATASETS: Final = ("configs", "dataset_info")


@dataclass(frozen=True, kw_only=True)
class Damage:
    """How `main` differs from the last version, edits of the card aside.

    Attributes:
        version: The last version.
        missing: Paths of its files that `main` lacks.
        changed: Paths of its files that have other content.
        added: Paths in the folders of a dataset that the version does not have.
    """

    version: str
    missing: Sequence[str]
    changed: Sequence[str]
    added: Sequence[str]

    def __str__(self) -> str:
        found = (("lacks", self.missing), ("has other content in", self.changed), ("has besides", self.added))
        parts = [f"{what} {_shortened(paths)}" for what, paths in found if paths]
        return f"main is not {self.version} any more: it {', '.join(parts)}"


def find_damage(repository: Repository, state: RepositoryState) -> Damage | None:
    """Compare the listing of `main` with that of the last version.

    A head with a tag is not asked about: it was checked before it got the tag, and commits do not change. Nor is a
    folder, to which nobody else commits.

    Args:
        repository: Where versions are published.
        state: Its head and tags.

    Returns:
        What differs; None where nothing does, where there is no version, or where the head is no version of this
        dataset at all, which `check_overwrite` refuses.
    """
    head = state.head
    if repository.hub_id is None or head is None or head in state.tags.values():
        return None
    version = last_version(repository, head, state.tags)
    if version is None:
        return None
    commit = state.tags[version]
    if _is_another(repository, head, commit):
        return None
    before, after = version_files(repository.files(commit)), version_files(repository.files(head))
    changed = {path for path, file in before.items() if path in after and differs(file, after[path])}
    if card.PATH in changed and _configs(repository, head) == _configs(repository, commit):
        changed.remove(card.PATH)
    damage = Damage(
        version=version,
        missing=sorted(before.keys() - after.keys()),
        changed=sorted(changed),
        added=sorted(after.keys() - before.keys()),
    )
    return damage if damage.missing or damage.changed or damage.added else None


def repair_head(
    repository: Repository, state: RepositoryState, options: PublishOptions
) -> tuple[RepositoryState, str | None]:
    """Make `main` the last version again, by a commit that copies what is missing or changed from its tag.

    No version is made: the content is that of the last one. Edits of the card stay.

    Args:
        repository: Where versions are published.
        state: Its head and tags, with those of an interrupted run.
        options: A dry run changes nothing.

    Returns:
        The state after it, and what was damaged; None where nothing was.

    Raises:
        ConflictError: Someone else published at the same time.
        DatasetError: The repository has not what it was asked to copy.
        NetworkError: The Hub could not be reached.
    """
    damage = find_damage(repository, state)
    if damage is None or state.head is None:
        return state, None
    if options.dry_run and repository.title(state.head).startswith(TITLE_PREFIX):
        return state, None  # of a run that has not set its tag yet
    commit, rollback = state.tags[damage.version], f"filtercrawl rollback {repository.id} {damage.version}"
    if options.dry_run:
        return state, f"{damage}; a release restores it, and so does `{rollback}`"
    try:
        check_withdrawals(repository, state.head, published_models(repository, commit), "")
    except PolicyError:
        return state, f"{damage}; not restored, as it holds checkpoints that were withdrawn since"
    options.progress.message(f"{repository.id}: {damage}; restoring {damage.version}")
    operations = CommitOperations(
        copy={path: (path, commit) for path in (*damage.missing, *damage.changed)}, delete=tuple(damage.added)
    )
    try:
        head = repository.commit(operations, state.head, f"Restore {damage.version}", str(damage))
    except NotFoundError as error:
        raise DatasetError(f"{repository.id}: {damage}; {damage.version} cannot be restored: {error}") from error
    repaired = RepositoryState(head=head, tags=state.tags, completed=state.completed)
    if (left := find_damage(repository, repaired)) is not None:
        raise DatasetError(f"{repository.id}: {left}, also after it was restored; run `{rollback}`")
    return repaired, f"{damage}; restored {damage.version}"


def _is_another(repository: Repository, head: str, commit: str) -> bool:
    """Return whether a head is not this dataset: it has the manifest of another, or other files in place of all."""
    before, after = repository.files(commit), repository.files(head)
    if manifest.PATH in before and not differs(before[manifest.PATH], after.get(manifest.PATH)):
        return False
    published = _dataset_id(repository, head) if manifest.PATH in after else None
    if published is not None:
        return published != _dataset_id(repository, commit)
    has_data = any(path.startswith("data/") and not differs(file, after.get(path)) for path, file in before.items())
    return not has_data and bool(after.keys() - before.keys() - {card.PATH})


def _dataset_id(repository: Repository, commit: str) -> str | None:
    try:
        content = json.loads(repository.read(manifest.PATH, commit))
    except (NotFoundError, ValueError, RecursionError):
        return None
    found = content.get("dataset_id") if isinstance(content, dict) else None
    return found if isinstance(found, str) else None


def _configs(repository: Repository, commit: str) -> dict[str, Any] | None:
    """Return what `datasets` reads of a card; None where it cannot."""
    try:
        header = card.Card.parse(repository.read(card.PATH, commit).decode()).header
    except (DatasetError, NotFoundError, ValueError):
        return None
    return {name: header.get(name) for name in _READ_BY_DATASETS}


def _shortened(paths: Sequence[str]) -> str:
    others = f" and {format_plural(len(paths) - 1, 'other file')}" if len(paths) > 1 else ""
    return escape_control(paths[0]) + others
