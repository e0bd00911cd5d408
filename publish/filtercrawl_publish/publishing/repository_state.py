"""The head and tags of a repository before a version is published, and the tag that an interrupted run left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.api.errors import DatasetError
from filtercrawl_publish.publishing.load_check import PublishedBefore, verify_loads
from filtercrawl_publish.publishing.options import PublishOptions
from filtercrawl_publish.repository import version_names
from filtercrawl_publish.repository.base import Repository

__all__ = ["TITLE_PREFIX", "RepositoryState", "complete_interrupted_publish", "last_version", "published_before"]

# Commit titles start with it: a commit without a tag is recognized by it, with the tag that it was to get.
TITLE_PREFIX: Final = "Release "


@dataclass(frozen=True, kw_only=True)
class RepositoryState:
    """The head and tags of a repository when a version is published to it.

    Attributes:
        head: The latest commit; None for an empty repository.
        tags: Commit by tag.
        completed: Whether the head just got the tag that an interrupted run had left out.
    """

    head: str | None
    tags: Mapping[str, str]
    completed: bool = False

    @property
    def head_version(self) -> str | None:
        """The tag of the head; None if it has none."""
        return {commit: tag for tag, commit in self.tags.items()}.get(self.head or "")


def complete_interrupted_publish(repository: Repository, options: PublishOptions) -> RepositoryState:
    """Tag the latest commit if a run ended between the commit and its tag.

    A commit that does not load stays without a tag; the next version goes on top of it. A dry run changes nothing.
    """
    head, tags = repository.refs()
    state = RepositoryState(head=head, tags=tags)
    if head is None or head in state.tags.values() or options.dry_run:
        return state
    title = repository.title(head)
    version = title.removeprefix(TITLE_PREFIX)
    if not title.startswith(TITLE_PREFIX) or version in state.tags:
        return state
    options.progress.message(f"{repository.id}: completing {version}, which was committed but not tagged")
    try:
        verify_loads(repository, head, published_before(repository, state, version))
    except DatasetError as error:
        options.progress.message(f"{version} is not tagged: {error}")
        return state
    repository.tag(version, head, title)
    return replace(state, tags={**state.tags, version: head}, completed=True)


def published_before(repository: Repository, state: RepositoryState, version: str) -> PublishedBefore:
    """Return what need not be loaded again to check a new version: the files of the last one that has a tag.

    The head may be a commit that did not load, or one of somebody else, so it proves nothing without a tag.

    Args:
        repository: Where versions are published.
        state: Its head and tags.
        version: The name of the new version.
    """
    last = last_version(repository, state.head, state.tags)
    files = {} if last is None else repository.files(state.tags[last])
    return PublishedBefore(files=files, version=version)


def last_version(repository: Repository, head: str | None, tags: Mapping[str, str]) -> str | None:
    """Return the version at `head`, or the last one before it; None if there is none.

    The history tells which one that is, since versions may have any name. Where it has none of them, as after it was
    rewritten, or of a folder, it is the latest by name.

    Args:
        repository: Where versions are published; asked only if `head` has no tag.
        head: The latest commit.
        tags: Commit by tag.
    """
    if head is None or not tags or head in tags.values():
        return version_names.current(head, tags)
    before = next((commit for commit in repository.history(head) if commit in tags.values()), None)
    return version_names.current(before, tags)
