"""The stages that read weights, or estimate what reading them costs; a run imports them when it has something to read.

They need torch, which takes a second and half a gigabyte to import: a run that finds nothing new does without.
"""

from __future__ import annotations

from collections.abc import Set

from filtercrawl.config.device import select_device
from filtercrawl.dataset.catalog.content_owners import ContentOwners
from filtercrawl.dataset.files.unpublished import TEMPORARY
from filtercrawl.pipeline.committing.commit import CatalogWriter
from filtercrawl.pipeline.composition import VERSION, Stages, SyncContext
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.crawling.crawl import Crawler
from filtercrawl.pipeline.crawling.stage_layers import LayerStager
from filtercrawl.pipeline.crawling.weighted_semaphore import WeightedSemaphore
from filtercrawl.pipeline.engines.engine import Engine
from filtercrawl.pipeline.engines.local import LocalEngine
from filtercrawl.pipeline.executor import PlanExecutor
from filtercrawl.pipeline.planning.estimate import CostEstimator
from filtercrawl.pipeline.planning.plan import removed_by_hash
from filtercrawl.pipeline.process_settings import crawl_process_settings
from filtercrawl.pipeline.records import Plan
from filtercrawl.pipeline.report import SyncReport


def crawl_tasks(plan: Plan, context: SyncContext, stages: Stages, report: SyncReport) -> Set[str]:
    """Crawl the tasks of a plan and commit the results; returns the model ids that are offered under a new name.

    Raises:
        UsageError: The device of the settings cannot be used.
    """
    with ContentOwners(stages.dataset.catalog.path) as owners, crawl_process_settings():
        executor = plan_executor(plan, context, stages, owners)
        executor.execute(plan.tasks[: context.settings.limit], report)
    report.requests += executor.engine.requests
    return executor.writer.renamed


def plan_executor(plan: Plan, context: SyncContext, stages: Stages, owners: ContentOwners) -> PlanExecutor:
    """Return what carries out a plan: workers that crawl, and a writer of their results."""
    dataset = stages.dataset
    index = ContentIndex(owners, (task.model_id for task in plan.tasks))
    writer = CatalogWriter(
        catalog=dataset.catalog,
        ownership=stages.ownership,
        now=context.now,
        version=VERSION,
        index=index,
        removed_by_content=removed_by_hash(plan, dataset.catalog),
    )
    return PlanExecutor(
        engine=make_engine(index, context, stages),
        writer=writer,
        layer_store=dataset.layer_store,
        settings=context.settings,
        progress=context.progress,
        cancellation=context.cancellation,
    )


def make_engine(index: ContentIndex, context: SyncContext, stages: Stages) -> Engine:
    """Return what runs the crawl tasks.

    Args:
        index: Contents that are known or being read.
        context: Dependencies of the run.
        stages: The other stages.
    """
    settings, plugins = context.settings, context.plugins
    if settings.engine == "ray":
        from filtercrawl.pipeline.engines.ray_cluster.make import ray_engine  # an extra

        return ray_engine(settings, plugins, index, stages.transport, context.cancellation)
    crawler = Crawler(
        sources=plugins.sources,
        readers=plugins.readers,
        transport=stages.transport,
        index=index,
        layer_stager=LayerStager(
            staging=stages.dataset.folder / TEMPORARY,
            device=select_device(settings.device),
            measures=plugins.measures,
            cancellation=context.cancellation,
        ),
        write_slots=WeightedSemaphore(settings.jobs),
        verify_all=settings.prove,
        cancellation=context.cancellation,
    )
    return LocalEngine(crawler=crawler, index=index, jobs=settings.jobs)


def estimate_plan(plan: Plan, context: SyncContext, stages: Stages, report: SyncReport) -> None:
    """Add to the report what the tasks of a plan are expected to cost; sends no request and writes nothing.

    Raises:
        Cancelled: The run was cancelled.
    """
    with ContentOwners(stages.dataset.catalog.path) as owners:
        estimator = CostEstimator(sources=context.plugins.sources, transport=stages.transport, known_contents=owners)
        for task in plan.tasks:
            context.cancellation.raise_if_cancelled()
            report.add_estimate(task, estimator.estimate(task))
            context.progress.done(task.model_id, task.action)
