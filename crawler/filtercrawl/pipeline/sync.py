"""One sync run: bring a dataset up to date with what its sources offer."""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from filtercrawl.api.errors import Cancelled
from filtercrawl.config.source_tables import check_source_tables
from filtercrawl.dataset.catalog.damage import CATALOG_ERRORS
from filtercrawl.dataset.catalog.recovery import export_if_needed, open_dataset, repair_after_crash
from filtercrawl.dataset.catalog.writable_dataset import WritableDataset
from filtercrawl.dataset.files.layer_store import LocalLayerStore
from filtercrawl.dataset.files.lock import locked
from filtercrawl.dataset.object_store.session import stored_dataset
from filtercrawl.pipeline.composition import VERSION, Stages, SyncContext
from filtercrawl.pipeline.discovery.discover import Listing, refuse_files_in
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.engines.installed import check_engine
from filtercrawl.pipeline.engines.processes.make import worker_processes
from filtercrawl.pipeline.outline_catalog import NewsFound, OutlineCatalog
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.records import Plan
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.run_log import log_end, log_listing, log_start
from filtercrawl.pipeline.run_recorder import RunRecorder
from filtercrawl.pipeline.time_limit import end_after
from filtercrawl.transport import MeasuredTransport, network
from filtercrawl.transport.hub import restored_hub_client
from filtercrawl.transport.options import RUN_OPTIONS

__all__ = ["SyncContext", "sync"]


def sync(selectors: Sequence[str], context: SyncContext) -> SyncReport:
    """Bring a dataset up to date with what the selectors offer.

    The run is incremental: what has not changed is not read again. It may be killed at any moment; the next run ends
    with the same files. A checkpoint or a source that fails is in the report and ends nothing.

    Args:
        selectors: `SOURCE` or `SOURCE:PATTERN` each.
        context: Dependencies of the run.

    Returns:
        What the run did, or with `dry_run` what it would do.

    Raises:
        UsageError: A selector or a setting is wrong, or the folder holds files but no dataset.
        ConflictError: Another run works on the dataset.
        DatasetError: The dataset cannot be read or written.
    """
    run = RunRecorder(context.cancellation, context.settings.metrics)
    settings, progress = context.settings, context.progress
    deadline = None if settings.time_limit is None else time.monotonic() + settings.time_limit
    chosen = [Selector.parse(text, context.plugins) for text in selectors]
    check_engine(settings)
    if unkept := ", ".join(settings.limits_not_kept):
        progress.message(f"warning: threads keep no limit ({unkept}); the engine local does")
    check_source_tables(settings.sources, context.plugins)
    if settings.engine != "ray" and settings.device not in ("auto", "cpu"):
        from filtercrawl.config.device import select_device  # imports torch

        select_device(settings.device)  # refuse it whether or not there is something to read
    # A time limit ends listing and crawling, not the run.
    context = replace(context, cancellation=context.cancellation.child(), deadline=deadline)
    limited = replace(settings.network, max_requests=settings.max_requests, max_bytes=settings.max_bytes)
    transport = context.transport or network(limited, cancellation=context.cancellation, options=RUN_OPTIONS)
    log_start(chosen, settings.dataset)
    run.count(transport)
    listings: list[Listing] | None = None
    if context.outline is not None:
        with restored_hub_client():
            found = run_on_outline(chosen, context, context.outline.folder, transport, run)
        if isinstance(found, SyncReport):
            log_end(found)
            return found
        listings = found
        context.outline.restore()
    with (
        restored_hub_client(),
        stored_dataset(settings, progress, context.cancellation, create=True, read_only=settings.dry_run) as stored,
        open_dataset(settings, progress, stored.layers if stored else context.layer_store, create=True) as dataset,
        worker_processes(settings, context.plugins, context.cancellation) as workers,
        nullcontext() if settings.dry_run else run.recorded(dataset.catalog, context.now, VERSION),
    ):
        report = run_stages(chosen, context, Stages(context, transport, dataset, stored, workers), run, listings)
    log_end(report)
    return report


def run_on_outline(
    chosen: Sequence[Selector], context: SyncContext, outline: Path, transport: MeasuredTransport, run: RunRecorder
) -> SyncReport | list[Listing] | None:
    """List and record as any run does, as long as no table changes: that needs the whole dataset.

    Args:
        chosen: What to list.
        context: Dependencies of the run; its dataset is locked meanwhile.
        outline: The folder of an outline of the dataset.
        transport: Network access.
        run: Counts of the run.

    Returns:
        The report where there is nothing to do; the listings where there is; None where the outline is damaged.
    """
    settings = replace(context.settings, dataset=outline, max_disk=None)
    context, real = replace(context, settings=settings), context.settings.dataset
    listings: list[Listing] | None = None
    with (
        locked(real, create=True),
        OutlineCatalog(outline) as catalog,
        worker_processes(settings, context.plugins, context.cancellation) as workers,
    ):
        dataset = WritableDataset(folder=outline, catalog=catalog, layer_store=LocalLayerStore(outline))
        stages = Stages(context, transport, dataset, workers=workers)
        try:
            with end_after(context.deadline, context.cancellation):
                listings = list_all(chosen, real, stages, run)
                plan = make_plan(listings, context, stages, run)
                if plan.tasks:
                    return listings
                carry_out(plan, listings, context, stages, run)
        except (NewsFound, *CATALOG_ERRORS):
            return listings
        with run.recorded(catalog, context.now, VERSION):
            run.total(run.report)
    return run.report


def run_stages(
    chosen: Sequence[Selector],
    context: SyncContext,
    stages: Stages,
    run: RunRecorder,
    listings: Sequence[Listing] | None = None,
) -> SyncReport:
    """List, unless that was done, plan, crawl, record and write the tables."""
    settings, progress, dataset = context.settings, context.progress, stages.dataset
    repair_after_crash(dataset, progress)
    with end_after(context.deadline, context.cancellation):
        if listings is None:
            listings = list_all(chosen, settings.dataset, stages, run)
        plan = make_plan(listings, context, stages, run)
        if settings.dry_run:
            propose(plan, context, stages, run.report)
        else:
            context.check_plan(plan)
            carry_out(plan, listings, context, stages, run)
    if not settings.dry_run:
        run.end()
        if dataset.catalog.needs_export:
            progress.message("writing the tables")
            with run.stage("tables"):
                export_if_needed(dataset.folder, dataset.catalog)
    run.total(run.report)
    return run.report


def list_all(chosen: Sequence[Selector], dataset: Path, stages: Stages, run: RunRecorder) -> list[Listing]:
    """Return what the selectors offer; none of it may lie in the dataset folder."""
    with run.stage("list"):
        listings = stages.discovery.list_all(chosen)
        refuse_files_in(dataset, listings)
        for listing in listings:
            log_listing(listing)
    return listings


def make_plan(listings: Sequence[Listing], context: SyncContext, stages: Stages, run: RunRecorder) -> Plan:
    """Return what is to be done, and begin the report of the run."""
    with run.stage("plan"):
        plan = stages.planner.plan(listings)
        on_disk = stages.dataset.layer_bytes() if context.settings.max_disk is not None else 0
        run.report = SyncReport.of(listings, plan, on_disk)
    return plan


def propose(plan: Plan, context: SyncContext, stages: Stages, report: SyncReport) -> None:
    """Add to the report what a run would do, and what that is expected to cost; writes nothing."""
    report.proposal = Approval.of(plan, stages.dataset.catalog, context.settings.limit)
    for model_id in sorted(plan.removed_models):
        report.count_removed(model_id)
    context.progress.start(len(plan.tasks))
    if plan.tasks:
        from filtercrawl.pipeline.plan_costs import estimate_plan  # imports torch

        with suppress(Cancelled):
            estimate_plan(plan, context, stages, report)


def carry_out(plan: Plan, listings: Sequence[Listing], context: SyncContext, stages: Stages, run: RunRecorder) -> None:
    """Crawl the tasks of a plan, and record what the sources offer."""
    renamed: Set[str] = frozenset()
    if plan.tasks or context.settings.max_disk is not None:
        from filtercrawl.pipeline.crawl_stages import crawl_tasks

        with run.stage("crawl"):
            renamed = crawl_tasks(plan, context, stages, run)
    else:
        context.progress.start(0)
    with run.stage("record"):
        for model_id in stages.offers.record(plan, listings, renamed):
            run.report.count_removed(model_id)
