"""The stages of a sync run that need no weights, each built with what it depends on.

`crawl_stages` puts together those that read weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import Settings, now
from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
from filtercrawl.dataset.catalog.writable_dataset import WritableDataset
from filtercrawl.dataset.files.layer_store import LayerStore
from filtercrawl.dataset.object_store.stored_dataset import StoredDataset
from filtercrawl.pipeline.committing.offers import OfferRecorder
from filtercrawl.pipeline.discovery.discover import Discovery
from filtercrawl.pipeline.discovery.opt_out import load_opt_out
from filtercrawl.pipeline.engines.processes.make import WorkerProcesses
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.planning.plan import Planner
from filtercrawl.pipeline.records import Plan
from filtercrawl.transport import MeasuredTransport

VERSION: Final = version("filtercrawl")


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What is known of a dataset that is not in its folder: its checkpoints and listings, without any layer.

    Attributes:
        folder: The folder of its catalog.
        restore: Puts the dataset into the folder of the settings; called where a run finds something to do.
    """

    folder: Path
    restore: Callable[[], object]


@dataclass(kw_only=True)
class SyncContext:
    """Dependencies of one sync run.

    Attributes:
        settings: Settings of the run.
        plugins: Installed plugins.
        progress: Receives progress.
        transport: Network access; None for the one that the settings describe.
        cancellation: Cancel it to end the run cleanly after the checkpoints that have begun.
        deadline: When no more checkpoints may start, of `time.monotonic`; None for no limit.
        now: Time of the run, written into the tables.
        approval: The part of the plan that may be carried out; None for all of it.
        layer_store: Where the layers files are stored; None for the dataset folder alone.
        check_plan: Called with the plan before anything is read; what it raises ends the run. A dry run needs none.
        outline: Of the dataset, where it is not in its folder; None where it is.
    """

    settings: Settings
    plugins: Plugins
    progress: Progress = field(default_factory=NullProgress)
    transport: MeasuredTransport | None = None
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    deadline: float | None = None
    now: datetime = field(default_factory=now)
    approval: Approval | None = None
    layer_store: LayerStore | None = None
    check_plan: Callable[[Plan], None] = lambda _: None
    outline: Outline | None = None


class Stages:
    """The stages of one run that need no weights.

    Args:
        context: Dependencies of the run.
        transport: Network access.
        dataset: The dataset.
        stored: The same in an object store; None for one in a folder.
        workers: Worker processes of this machine; None if the run takes others or threads.

    Attributes:
        discovery: Lists what selectors offer.
        planner: Decides what to do with what is offered.
        offers: Records what was offered.
        ownership: Decides which of several checkpoints with the same layers stores the weights.
        transport: Network access.
        dataset: The dataset.
        stored: The same in an object store; None for one in a folder.
        workers: Worker processes of this machine, if the run takes them.
    """

    def __init__(
        self,
        context: SyncContext,
        transport: MeasuredTransport,
        dataset: WritableDataset,
        stored: StoredDataset | None = None,
        workers: WorkerProcesses | None = None,
    ) -> None:
        settings, plugins, catalog = context.settings, context.plugins, dataset.catalog
        opt_out = load_opt_out(settings, transport)
        ownership = WeightOwnership(dataset=dataset, license_policy=settings.license_policy)
        self.discovery = Discovery(
            plugins=plugins,
            transport=transport,
            settings=settings.sources,
            catalog=catalog,
            opt_out=opt_out,
            dry_run=settings.dry_run,
            progress=context.progress,
            readers=None if workers is None else workers.readers(),
        )
        self.planner = Planner(
            now=context.now,
            version=VERSION,
            catalog=catalog,
            policy=settings.kernel_size,
            refuse_code=settings.refuse_code,
            retry=settings.retry,
            licenses=settings.license,
            license_policy=settings.license_policy,
            opt_out=opt_out,
            restricted=settings.restricted,
            approval=context.approval,
        )
        self.offers = OfferRecorder(
            catalog=catalog,
            ownership=ownership,
            now=context.now,
            version=VERSION,
            planner=self.planner,
            plugin_of=plugins.origin,
            prune=settings.prune,
        )
        self.workers = workers
        self.transport = transport
        self.dataset = dataset
        self.stored = stored
        self.ownership = ownership
