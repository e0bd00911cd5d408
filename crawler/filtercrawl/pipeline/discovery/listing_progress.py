"""Lines about a listing that takes long."""

from __future__ import annotations

import time
from typing import Final

from filtercrawl.api.formatting import format_count
from filtercrawl.api.progress import Progress

_INTERVAL: Final = 10.0


class ListingProgress:
    """Shows how far one listing is, at most every ten seconds."""

    def __init__(self, progress: Progress, selector: str, interval: float = _INTERVAL) -> None:
        """Begin a listing.

        Args:
            progress: Shows the lines.
            selector: What is listed.
            interval: Seconds between lines.
        """
        self._progress = progress
        self._selector = selector
        self._interval = interval
        self._shown = time.monotonic()

    def update(self, what: str, count: int) -> None:
        """Say how many files were found or looked into, if it is time for a line."""
        if time.monotonic() - self._shown >= self._interval:
            self._shown = time.monotonic()
            self._progress.message(f"listing {self._selector}: {format_count(count)} {what}")
