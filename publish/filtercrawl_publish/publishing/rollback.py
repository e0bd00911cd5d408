"""Publish the content of an earlier version as a new version."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.files import manifest
from filtercrawl.display import html_table
from filtercrawl_publish.publishing.load_check import PublishedBefore, verify_loads
from filtercrawl_publish.publishing.options import PublishOptions, SpaceResult
from filtercrawl_publish.publishing.repository_state import TITLE_PREFIX, RepositoryState, complete_interrupted_publish
from filtercrawl_publish.publishing.space import choose_space, update_space
from filtercrawl_publish.publishing.version_choice import check_clock
from filtercrawl_publish.publishing.version_files import differs, version_files
from filtercrawl_publish.publishing.withdrawal_guard import check_withdrawals, published_models
from filtercrawl_publish.repository.base import CommitOperations, Repository
from filtercrawl_publish.repository.errors import version_exists
from filtercrawl_publish.repository.version_names import next_version, validate_version

__all__ = ["RollbackResult", "rollback_version"]


@dataclass(frozen=True, kw_only=True)
class RollbackResult:
    """What a rollback did.

    Attributes:
        outcome: `published`; `finished` (the commit of an interrupted run got its tag); `nothing` (the latest version
            has that content already).
        repository: Its id.
        version: The latest version of the repository now.
        commit: Its commit.
        restored: The earlier version whose content it has.
        space: What became of the Space; None where there is to be none.
    """

    outcome: Literal["published", "finished", "nothing"]
    repository: str
    version: str | None
    commit: str
    restored: str
    space: SpaceResult | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what `filtercrawl rollback --json` prints."""
        return {
            "what": self.outcome,
            "repo": self.repository,
            "version": self.version,
            "commit": self.commit,
            "to": self.restored,
            "space": self.space.to_dict() if self.space else None,
        }

    def __str__(self) -> str:
        if self.outcome == "nothing":
            text = f"{self.repository}: the latest version has the content of {self.restored} already"
        else:
            text = f"{self.outcome} {self.version}: {self.repository} has the content of {self.restored} again"
        return f"{text}; {self.space}" if self.space else text

    def _repr_html_(self) -> str:
        facts = {
            "repository": self.repository,
            "version": self.version,
            "commit": self.commit,
            "content of": self.restored,
        }
        return html_table(self.outcome, facts)


def rollback_version(repository: Repository, version: str, options: PublishOptions) -> RollbackResult:
    """Publish the content of an earlier version as a new version.

    Files are copied within the repository; no tag moves and no history is lost. Where the latest version has that
    content already, it gets a second tag, if a name is given. The earlier version is loaded before
    the commit, the new one after it and before its tag. If the process is killed, the next call completes it.

    Args:
        repository: Where the version is published.
        version: The earlier version.
        options: `version` is the name of the new version; `space` is updated where one is given.

    Raises:
        UsageError: There is no such version, or the new name is invalid or exists already.
        AccessDeniedError: The token may not write there.
        PolicyError: The earlier version has a checkpoint that was withdrawn since, or a wrong clock would name the new
            one.
        ConflictError: Someone else published at the same time.
        DatasetError: The earlier version does not load.
        NetworkError: The Hub could not be reached.
    """
    choose_space(repository, options.space)
    result = _rollback(repository, version, options)
    return replace(result, space=update_space(repository, options, result.version, result.commit))


def _rollback(repository: Repository, version: str, options: PublishOptions) -> RollbackResult:
    commit = repository.resolve(version)
    repository.check_token()
    state = complete_interrupted_publish(repository, options)
    head = state.head
    assert head is not None  # there is a version
    restored, latest = version_files(repository.files(commit)), version_files(repository.files(head))
    if manifest.PATH not in restored:
        raise UsageError(f"{repository.id}@{version}: not a dataset version, it has no {manifest.PATH}")
    changed = {path for path, file in restored.items() if differs(file, latest.get(path))}
    deleted = tuple(sorted(latest.keys() - restored.keys()))
    is_same = not changed and not deleted
    if is_same and (options.version is None or state.tags.get(options.version) == head):
        return RollbackResult(
            outcome="finished" if state.completed else "nothing",
            repository=repository.id,
            version=options.version or state.head_version,
            commit=head,
            restored=version,
        )
    name = _new_name(repository, state, options)
    if is_same:
        repository.tag(name, head, f"{TITLE_PREFIX}{name}, the content of {version}")
        return RollbackResult(
            outcome="published", repository=repository.id, version=name, commit=head, restored=version
        )
    advice = (
        f"roll back to a later version, or delete their weights with `filtercrawl withdraw {repository.id} --purge`"
    )
    check_withdrawals(repository, head, published_models(repository, commit), advice)
    if options.version is None:
        check_clock(repository, state.tags, options.now)
    before = PublishedBefore(files=repository.files(commit), version=version)
    verify_loads(repository, commit, before)
    options.progress.message(f"publishing {version} of {repository.id} as {name}")
    operations = CommitOperations(copy={path: (path, commit) for path in sorted(changed)}, delete=deleted)
    new_commit = repository.commit(operations, head, f"{TITLE_PREFIX}{name}", f"The content of {version}.")
    verify_loads(repository, new_commit, before)
    repository.tag(name, new_commit, f"{TITLE_PREFIX}{name}, the content of {version}")
    return RollbackResult(
        outcome="published", repository=repository.id, version=name, commit=new_commit, restored=version
    )


def _new_name(repository: Repository, state: RepositoryState, options: PublishOptions) -> str:
    if options.version is None:
        return next_version(state.tags, options.now)
    if options.version in state.tags:
        raise version_exists(repository.id, options.version)
    return validate_version(options.version)
