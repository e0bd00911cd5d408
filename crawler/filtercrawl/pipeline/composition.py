"""The stages of a sync run, each built with what it depends on; the only place where they are put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Final

import torch

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import Settings, now
from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
from filtercrawl.dataset.catalog.writable_dataset import WritableDataset
from filtercrawl.dataset.files.layer_store import LayerStore
from filtercrawl.dataset.files.unpublished import TEMPORARY
from filtercrawl.pipeline.committing.commit import CatalogWriter
from filtercrawl.pipeline.committing.offers import OfferRecorder
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.crawling.crawl import Crawler
from filtercrawl.pipeline.crawling.stage_layers import LayerStager
from filtercrawl.pipeline.crawling.weighted_semaphore import WeightedSemaphore
from filtercrawl.pipeline.discovery.discover import Discovery
from filtercrawl.pipeline.discovery.opt_out import load_opt_out
from filtercrawl.pipeline.engines.local import LocalEngine
from filtercrawl.pipeline.executor import PlanExecutor
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.planning.estimate import CostEstimator
from filtercrawl.pipeline.planning.plan import Planner, content_owners, removed_by_hash
from filtercrawl.pipeline.records import Plan
from filtercrawl.transport import MeasuredTransport

VERSION: Final = version("filtercrawl")


@dataclass(kw_only=True)
class SyncContext:
    """Dependencies of one sync run.

    Attributes:
        settings: Settings of the run.
        plugins: Installed plugins.
        progress: Receives progress.
        transport: Network access; None for the one that the settings describe.
        cancellation: Cancel it to end the run cleanly after the checkpoints that have begun.
        now: Time of the run, written into the tables.
        approval: The part of the plan that may be carried out; None for all of it.
        layer_store: Where the layers files are stored; None for the dataset folder alone.
    """

    settings: Settings
    plugins: Plugins
    progress: Progress = field(default_factory=NullProgress)
    transport: MeasuredTransport | None = None
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    now: datetime = field(default_factory=now)
    approval: Approval | None = None
    layer_store: LayerStore | None = None


class Stages:
    """The stages of one run.

    Args:
        context: Dependencies of the run.
        transport: Network access.
        device: Where weights are converted and measured.
        dataset: The dataset.

    Attributes:
        discovery: Lists what selectors offer.
        planner: Decides what to do with what is offered.
        offers: Records what was offered.
    """

    def __init__(
        self, context: SyncContext, transport: MeasuredTransport, device: torch.device, dataset: WritableDataset
    ) -> None:
        settings, plugins, catalog = context.settings, context.plugins, dataset.catalog
        opt_out = load_opt_out(settings, transport)
        known = {row.model_id: row for row in catalog.models()}
        ownership = WeightOwnership(dataset=dataset, license_policy=settings.license_policy)
        self.discovery = Discovery(
            plugins=plugins,
            transport=transport,
            settings=settings.sources,
            known_models=known,
            known_selectors=catalog.selectors(),
            opt_out=opt_out,
            dry_run=settings.dry_run,
        )
        self.planner = Planner(
            now=context.now,
            version=VERSION,
            policy=settings.kernel_size,
            retry=settings.retry,
            licenses=settings.license,
            license_policy=settings.license_policy,
            opt_out=opt_out,
            known_models=known,
            renamed=catalog.renamed(),
            approval=context.approval,
        )
        self.offers = OfferRecorder(
            catalog=catalog,
            ownership=ownership,
            now=context.now,
            version=VERSION,
            plugin_of=plugins.origin,
            prune=settings.prune,
        )
        self._context = context
        self._transport = transport
        self._device = device
        self._dataset = dataset
        self._ownership = ownership

    def estimator(self) -> CostEstimator:
        """Return what estimates the cost of tasks."""
        return CostEstimator(
            sources=self._context.plugins.sources,
            transport=self._transport,
            known_contents=content_owners(self.planner.known_models),
        )

    def executor(self, plan: Plan) -> PlanExecutor:
        """Return what carries out a plan: workers that crawl, and a writer of their results."""
        context, settings, plugins = self._context, self._context.settings, self._context.plugins
        known = self.planner.known_models
        index = ContentIndex(content_owners(known), (task.model_id for task in plan.tasks))
        crawler = Crawler(
            sources=plugins.sources,
            readers=plugins.readers,
            transport=self._transport,
            index=index,
            layer_stager=LayerStager(
                staging=self._dataset.folder / TEMPORARY,
                device=self._device,
                measures=plugins.measures,
                cancellation=context.cancellation,
            ),
            write_slots=WeightedSemaphore(settings.jobs),
            verify_all=settings.prove,
            cancellation=context.cancellation,
        )
        writer = CatalogWriter(
            catalog=self._dataset.catalog,
            ownership=self._ownership,
            now=context.now,
            version=VERSION,
            index=index,
            removed_by_content=removed_by_hash(plan, known),
        )
        return PlanExecutor(
            engine=LocalEngine(crawler=crawler, jobs=settings.jobs),
            writer=writer,
            layer_store=self._dataset.layer_store,
            settings=settings,
            progress=context.progress,
            cancellation=context.cancellation,
        )
