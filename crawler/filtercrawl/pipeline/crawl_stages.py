"""The stages that crawl: an engine that reads the tasks of a plan, and a writer of what comes of them.

A run imports them when it has something to read. Weights are read where torch is imported, which takes a second and
half a gigabyte: in worker processes, or by the engine `threads` in this one.
"""

from __future__ import annotations

from collections.abc import Set

from filtercrawl.dataset.catalog.content_owners import ContentOwners
from filtercrawl.dataset.catalog.recovery import export_tables
from filtercrawl.pipeline.committing.commit import CatalogWriter
from filtercrawl.pipeline.composition import VERSION, Stages, SyncContext
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.engine import Engine
from filtercrawl.pipeline.executor import PlanExecutor
from filtercrawl.pipeline.planning.plan import removed_by_hash
from filtercrawl.pipeline.records import Plan
from filtercrawl.pipeline.run_recorder import RunRecorder


def crawl_tasks(plan: Plan, context: SyncContext, stages: Stages, run: RunRecorder) -> Set[str]:
    """Crawl the tasks of a plan and commit the results.

    Returns:
        The model ids that are offered under a new name, or may be: a run that ends early, as at a limit or an
        interrupt, has not read all new names.

    Raises:
        UsageError: The device of the settings cannot be used.
    """
    with ContentOwners(stages.dataset.catalog.path) as owners:
        executor = plan_executor(plan, context, stages, run, owners)
        run.count(executor.engine)
        executor.execute(plan.tasks[: context.settings.limit], run.report)
    unread = {
        task.selector_id for task in plan.tasks if task.action == "new" and task.model_id not in executor.committed
    }
    removed = executor.writer.removed_by_content.items()
    return executor.writer.renamed.union(*(ids for (selector_id, _), ids in removed if selector_id in unread))


def plan_executor(
    plan: Plan, context: SyncContext, stages: Stages, run: RunRecorder, owners: ContentOwners
) -> PlanExecutor:
    """Return what carries out a plan: workers that crawl, and a writer of their results."""
    dataset, stored = stages.dataset, stages.stored

    def save() -> None:
        run.save_if_due()
        if stored is not None and stored.save_is_due:
            export_tables(dataset.folder, dataset.catalog)
            stored.save()

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
        deadline=context.deadline,
        save=save,
    )


def make_engine(index: ContentIndex, context: SyncContext, stages: Stages) -> Engine:
    """Return what runs the crawl tasks.

    Workers that are other processes cannot use what exists only in this one: a plugin without a file, or a transport
    that the caller made. Such a run takes threads.

    Args:
        index: Contents that are known or being read.
        context: Dependencies of the run.
        stages: The other stages.
    """
    settings, plugins = context.settings, context.plugins
    if settings.engine == "ray":
        from filtercrawl.pipeline.engines.ray_cluster.make import ray_engine  # an extra

        return ray_engine(settings, plugins, index, stages.transport, context.cancellation)
    if stages.workers is not None and context.transport is None:
        return stages.workers.engine(index, stages.transport)
    from filtercrawl.pipeline.engines.threads import ThreadEngine, crawler_of  # imports torch

    crawler = crawler_of(settings, plugins, index, stages.transport, context.cancellation)
    return ThreadEngine(crawler=crawler, index=index, jobs=settings.jobs)
