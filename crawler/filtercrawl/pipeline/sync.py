"""One sync run: bring a dataset up to date with what its sources offer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from filtercrawl.api.errors import Cancelled
from filtercrawl.config.device import select_device
from filtercrawl.config.source_tables import check_source_tables
from filtercrawl.dataset.catalog.recovery import export_if_needed, open_dataset, repair_after_crash
from filtercrawl.pipeline.composition import Stages, SyncContext
from filtercrawl.pipeline.discovery.discover import refuse_files_in
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.planning.estimate import CostEstimator
from filtercrawl.pipeline.process_settings import crawl_process_settings
from filtercrawl.pipeline.records import Plan
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.run_log import log_end, log_listing, log_start
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions

__all__ = ["SyncContext", "sync"]

# Requests in a row that could not connect, after which a run waits for a host no more.
_UNREACHABLE_LIMIT: Final = 3


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
    started = time.monotonic()
    settings, progress = context.settings, context.progress
    chosen = [Selector.parse(text, context.plugins) for text in selectors]
    check_source_tables(settings.sources, context.plugins)
    device = select_device(settings.device)
    options = TransportOptions(unreachable_limit=_UNREACHABLE_LIMIT)
    transport = context.transport or network(settings.network, cancellation=context.cancellation, options=options)
    log_start(chosen, settings.dataset)
    with (
        crawl_process_settings(),
        open_dataset(settings, progress, context.layer_store, create=True) as dataset,
    ):
        repair_after_crash(dataset, progress)
        stages = Stages(context, transport, device, dataset)
        listings = stages.discovery.list_all(chosen)
        refuse_files_in(settings.dataset, listings)
        for listing in listings:
            log_listing(listing)
        plan = stages.planner.plan(listings)
        report = SyncReport.of(listings, plan, dataset.layer_bytes())
        if settings.dry_run:
            report.proposal = Approval.of(plan, stages.planner.known_models, settings.limit)
            with suppress(Cancelled):
                estimate_plan(plan, stages.estimator(), context, report)
        else:
            executor = stages.executor(plan)
            executor.execute(plan.tasks[: settings.limit], report)
            for model_id in stages.offers.record(plan, listings, executor.writer.renamed):
                report.count_removed(model_id)
            if dataset.catalog.needs_export:
                progress.message("writing the tables")
                export_if_needed(dataset.folder, dataset.catalog)
    report.requests = transport.requests
    report.seconds = round(time.monotonic() - started, 3)
    log_end(report)
    return report


def estimate_plan(plan: Plan, estimator: CostEstimator, context: SyncContext, report: SyncReport) -> None:
    """Add to the report what the plan is expected to cost; sends no request and writes nothing."""
    context.progress.start(len(plan.tasks))
    for task in plan.tasks:
        context.cancellation.raise_if_cancelled()
        report.add_estimate(task, estimator.estimate(task))
        context.progress.done(task.model_id, task.action)
    for model_id in sorted(plan.removed_models):
        report.count_removed(model_id)
