"""Names of versions: the day in UTC, and a number from the second one of a day on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.schema.version_order import UNRELEASED, release_order

__all__ = ["current", "latest", "next_version", "sort_versions", "validate_version"]

_VERSION: Final = re.compile(r"v(\d{4})\.(\d{2})\.(\d{2})(?:\.([1-9]\d{0,8}))?")
_TAKEN: Final = ("main", "HEAD", UNRELEASED)
# A tag that git and the Hub take and that is a file name everywhere.
_TAG: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


def next_version(tags: Iterable[str], now: datetime) -> str:
    """Return `vYYYY.MM.DD` for the day of `now` in UTC, with `.1`, `.2`, ... where the day has versions already.

    Never before the latest version, also where a clock went backwards: then that one's day is counted on.
    """
    day = f"v{now.astimezone(UTC):%Y.%m.%d}"
    last = latest(tags)
    if last is None or _key(last) < _key(day):
        return day
    year, month, number, n = _key(last)
    return f"v{year:04}.{month:02}.{number:02}.{n + 1}"


def latest(tags: Iterable[str]) -> str | None:
    """Return the latest version by day and number; other tags do not count."""
    return max(sort_versions(tags), key=_key, default=None)


def current(head: str | None, tags: Mapping[str, str]) -> str | None:
    """Return the version of the commit `head`; where it has no tag, the latest one. tags: tag -> commit.

    A name that somebody chose counts where the head has it.
    """
    here = [tag for tag in sorted(tags, key=release_order) if tags[tag] == head]
    return latest(here) or (here[-1] if here else latest(tags))


def sort_versions(tags: Iterable[str]) -> list[str]:
    """Return the versions among tags, the earliest first."""
    return sorted((tag for tag in tags if _VERSION.fullmatch(tag)), key=_key)


def validate_version(version: str) -> str:
    """Return a version that somebody chose; raises UsageError where it could not be a tag."""
    if not _TAG.fullmatch(version) or ".." in version or version.endswith(".lock") or version in _TAKEN:
        raise UsageError(f"{version!r} cannot be a version: a tag such as v2026.11.23 is wanted")
    return version


def _key(version: str) -> tuple[int, int, int, int]:
    match = _VERSION.fullmatch(version)
    assert match is not None
    year, month, day, number = match.groups(default="0")
    return int(year), int(month), int(day), int(number)
