"""Errors that all repositories raise with the same words."""

from __future__ import annotations

from collections.abc import Iterable

from filtercrawl.api.errors import ConflictError, UsageError

__all__ = ["published_meanwhile", "tag_exists", "unknown_revision", "version_exists"]


def published_meanwhile(repository: str) -> ConflictError:
    """Return the error for a head that is no longer the expected parent."""
    return ConflictError(f"{repository}: another version was published meanwhile; run again to publish on top of it")


def tag_exists(repository: str, name: str) -> ConflictError:
    """Return the error for a tag that another commit has."""
    return ConflictError(f"{repository}: version {name} is another commit, and tags never move; run again")


def unknown_revision(repository: str, revision: str | None, tags: Iterable[str]) -> UsageError:
    """Return the error for a revision that does not exist; None means that the repository is empty."""
    what = "has no version yet" if revision is None else f"has no version {revision}"
    return UsageError(f"{repository}: {what}; available: {', '.join(tags) or 'none'}")


def version_exists(repository: str, version: str) -> UsageError:
    """Return the error for a name that was asked for and is taken."""
    return UsageError(f"{repository}: version {version} exists already, and tags never move; choose another --version")
