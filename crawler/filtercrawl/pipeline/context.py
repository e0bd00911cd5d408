"""What one run of a sync works with."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import Settings, now
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.transport import MeasuredTransport


@dataclass(kw_only=True)
class SyncContext:
    """Dependencies and options of one sync run.

    Attributes:
        settings: The resolved settings.
        plugins: Sources, readers and measures.
        progress: Receives progress and messages.
        transport: The network; None for one made from the settings.
        cancellation: Cancel it to end the run after the checkpoints in progress.
        now: Time of the run, in UTC.
        approval: Limits the run to an approved plan; None for everything that is due.
        fetch_layers_file: Downloads a layers file that only a published version holds to its place in the dataset.
        already_uploaded: Paths of layers files that the repository has already.
        free_disk_space: Called when the layers take up `max_disk`; returns the bytes left on disk afterwards.
    """

    settings: Settings
    plugins: Plugins
    progress: Progress = field(default_factory=NullProgress)
    transport: MeasuredTransport | None = None
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    now: datetime = field(default_factory=now)
    approval: Approval | None = None
    fetch_layers_file: Callable[[str], None] | None = None
    already_uploaded: Collection[str] = ()
    free_disk_space: Callable[[], int] | None = None
