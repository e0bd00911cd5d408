"""How long a failed checkpoint waits for its next attempt."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

# One day, two, four, ... at most this many.
_MAX_DAYS: Final = 32


def retry_pause(attempts: int) -> timedelta:
    """Return the pause after a number of failed attempts in a row, one at least."""
    return timedelta(days=min(2 ** min(attempts - 1, 10), _MAX_DAYS))


def is_due(next_retry: datetime | None, now: datetime) -> bool:
    """Tell whether the pause of a failed checkpoint is over.

    It is also where the rest is longer than any pause: the clock was wrong when the checkpoint failed.
    """
    return next_retry is None or not now < next_retry <= now + timedelta(days=_MAX_DAYS)
