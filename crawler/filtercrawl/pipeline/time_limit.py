"""The time limit of a run: when nothing more may start, and when what is in progress is ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from filtercrawl.api.cancellation import CancellationToken

# Seconds that what is in progress, a listing or checkpoints, has to be finished when the time of the run is over.
GRACE_SECONDS: Final = 60.0


@contextmanager
def end_after(deadline: float | None, cancellation: CancellationToken) -> Iterator[None]:
    """Cancel what is still in progress in the block `GRACE_SECONDS` after a deadline, as over a server that drips.

    Args:
        deadline: Of `time.monotonic`; None for none.
        cancellation: Of the work in the block.
    """
    if deadline is None:
        yield
        return
    seconds = deadline - time.monotonic() + GRACE_SECONDS
    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), cancellation.cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
