"""What one run of a sync works with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

from filtercrawl.api.errors import Cancelled
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import Settings, now
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.transport import MeasuredTransport


@dataclass(kw_only=True)
class SyncContext:
    """What one run works with.

    transport: None for the one that the settings describe. stop: set it to end the run cleanly after the checkpoints
    in hand. approval: does no more than that, None for all there is to do. fetch_layers_file: puts a file of layers
    into its place
    that only a release holds. held: files of layers that the place of the next release has already. make_room: called
    where the layers take `max_disk`; returns the bytes that lie here then.
    """

    settings: Settings
    plugins: Plugins
    progress: Progress = field(default_factory=NullProgress)
    transport: MeasuredTransport | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    now: datetime = field(default_factory=now)
    approval: Approval | None = None
    fetch_layers_file: Callable[[str], None] | None = None
    already_uploaded: Collection[str] = ()
    free_disk_space: Callable[[], int] | None = None

    def raise_if_cancelled(self) -> None:
        """Raise Stopped once the run is to end."""
        if self.stop.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Wait, for a server that asks for it; raises Stopped as soon as the run is to end."""
        if self.stop.wait(seconds):
            raise Cancelled
