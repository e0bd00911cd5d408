"""Choose the name of a version; refuse one that a wrong clock would give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import PolicyError
from filtercrawl.config import is_set
from filtercrawl_publish.publishing.options import PublishOptions
from filtercrawl_publish.publishing.staging import clear_pending, pending_version
from filtercrawl_publish.repository import version_names
from filtercrawl_publish.repository.base import Repository

__all__ = ["MAX_CLOCK_ERROR", "check_clock", "choose_version"]

# A clock that is wrong by more gives a version the name of another day.
MAX_CLOCK_ERROR: Final = timedelta(days=1)


def choose_version(dataset: Path, tags: Mapping[str, str], options: PublishOptions) -> str:
    """Return the given name, else that which an interrupted run chose, else that of the day.

    An interrupted run of another day does not count: its clock may have been wrong.

    Args:
        dataset: The dataset folder; must be locked, unless the run is dry.
        tags: Those of the repository.
        options: With the given name and the time.

    Raises:
        UsageError: The given name cannot be that of a version.
    """
    pending = pending_version(dataset)
    if pending in tags:
        if not options.dry_run:
            clear_pending(dataset)
        pending = None
    if options.version is not None:
        return version_names.validate_version(options.version)
    if pending is not None and abs(_days_after(pending, options.now)) <= MAX_CLOCK_ERROR.days:
        return pending
    return version_names.next_version(tags, options.now)


def check_clock(repository: Repository, tags: Iterable[str], now: datetime) -> None:
    """Check that a version named after the day would get the right name.

    The clock of this machine is compared with that of the server, and with the day of the last version, from which
    names go on. `SOURCE_DATE_EPOCH` is not the clock: it is compared with the last version only.

    Args:
        repository: Where the version is to be published; it has been asked something.
        tags: Its tags.
        now: Timezone-aware.

    Raises:
        PolicyError: They differ by more than `MAX_CLOCK_ERROR`.
    """
    error = repository.clock_error()
    if error is not None and abs(error) > MAX_CLOCK_ERROR and not is_set("SOURCE_DATE_EPOCH"):
        clock = datetime.now(UTC)
        raise PolicyError(
            f"{repository.id}: the clock of this machine says {clock:%Y-%m-%d %H:%M} UTC, the server says "
            f"{clock - error:%Y-%m-%d %H:%M}; set the clock, or name the version with --version"
        )
    names = list(tags)
    last = version_names.latest(names)
    if last is not None and _days_after(last, now) > MAX_CLOCK_ERROR.days:
        right = version_names.next_version([name for name in names if _days_after(name, now) <= 0], now)
        raise PolicyError(
            f"{repository.id}: the last version, {last}, has a later date than today, {now.astimezone(UTC):%Y-%m-%d}. "
            f"If the clock of this machine is behind, set it. If the clock was ahead when {last} was published, give "
            f"that its right name: `filtercrawl rollback {repository.id} {last} --version {right}`, and then delete "
            f"the tag {last}"
        )


def _days_after(version: str, now: datetime) -> int:
    """Return how many days after today the day is that a version is named after; 0 for a name without a day."""
    day = version_names.day_of(version)
    return 0 if day is None else (day - now.astimezone(UTC).date()).days
