"""Names of versions: `vYYYY.MM.DD` in UTC, with `.1`, `.2`, ... for further versions of a day."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Final

from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.schema.version_order import UNRELEASED, release_order

__all__ = ["current", "day_of", "latest", "next_version", "sort_versions", "validate_version"]

_VERSION: Final = re.compile(r"v(\d{4})\.(\d{2})\.(\d{2})(?:\.([1-9]\d{0,8}))?")
_RESERVED: Final = ("main", "HEAD", UNRELEASED)
# A tag that git and the Hub accept and that is a valid file name on every system.
_TAG: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


def next_version(tags: Iterable[str], now: datetime) -> str:
    """Return the name for a new version.

    It sorts after all existing versions, also when the clock went backwards: then the number of the latest version's
    day is incremented.

    Args:
        tags: The repository's tags; those that are no version names are ignored.
        now: Timezone-aware.
    """
    today = f"v{now.astimezone(UTC):%Y.%m.%d}"
    last = latest(tags)
    if last is None or _sort_key(last) < _sort_key(today):
        return today
    year, month, day, number = _sort_key(last)
    return f"v{year:04}.{month:02}.{day:02}.{number + 1}"


def latest(tags: Iterable[str]) -> str | None:
    """Return the latest version by day and number; None if no tag is a version name."""
    return max(sort_versions(tags), key=_sort_key, default=None)


def current(head: str | None, tags: Mapping[str, str]) -> str | None:
    """Return the version at `head`, or the latest one if `head` has no tag.

    Args:
        head: A commit.
        tags: Commit by tag. A custom name counts if it is at `head`.
    """
    at_head = [tag for tag in sorted(tags, key=release_order) if tags[tag] == head]
    return latest(at_head) or (at_head[-1] if at_head else latest(tags))


def day_of(version: str) -> date | None:
    """Return the day that a version is named after; None for another name."""
    if _VERSION.fullmatch(version):
        with suppress(ValueError):  # no day of the calendar
            return date(*_sort_key(version)[:3])
    return None


def sort_versions(tags: Iterable[str]) -> list[str]:
    """Return the tags that are version names, earliest first."""
    return sorted((tag for tag in tags if _VERSION.fullmatch(tag)), key=_sort_key)


def validate_version(version: str) -> str:
    """Return a version name chosen by the user.

    Raises:
        UsageError: It cannot be a tag.
    """
    if not _TAG.fullmatch(version) or ".." in version or version.endswith(".lock") or version in _RESERVED:
        raise UsageError(f"{version!r} cannot be a version: expected a tag such as v2026.11.23")
    return version


def _sort_key(version: str) -> tuple[int, int, int, int]:
    match = _VERSION.fullmatch(version)
    assert match is not None
    year, month, day, number = match.groups(default="0")
    return int(year), int(month), int(day), int(number)
