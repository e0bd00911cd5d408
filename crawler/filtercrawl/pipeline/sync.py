"""One sync run: bring a dataset up to date with what its sources offer."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import Settings, now
from filtercrawl.config.device import select_device
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.recovery import export_if_needed, open_catalog, repair_after_crash
from filtercrawl.dataset.files.layer_store import LayerStore, LocalLayerStore
from filtercrawl.dataset.files.layout import TEMPORARY
from filtercrawl.dataset.files.lock import locked
from filtercrawl.dataset.schema.listing_rows import SourceRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.tables.staged_layers import discard
from filtercrawl.pipeline.committing.commit import CatalogWriter, CommitOutcome
from filtercrawl.pipeline.committing.final_steps import update_run_final
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.crawling.crawl import OUT_OF_MEMORY, CrawlResult, WorkerContext, crawl
from filtercrawl.pipeline.crawling.weighted_semaphore import WeightedSemaphore
from filtercrawl.pipeline.crawling.write_layers import LayerWriteOptions
from filtercrawl.pipeline.discovery.collisions import refuse_name_collisions
from filtercrawl.pipeline.discovery.discover import DiscoveryContext, Listing, discover
from filtercrawl.pipeline.discovery.opt_out import REASON as OPTED_OUT
from filtercrawl.pipeline.discovery.opt_out import OptOut, load_opt_out
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.planning.estimate import estimate_cost
from filtercrawl.pipeline.planning.plan import content_owners, make_plan, removed_by_hash
from filtercrawl.pipeline.planning.types import Plan, PlanOptions
from filtercrawl.pipeline.process_settings import crawl_process_settings
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.run_log import log_checkpoint, log_end, log_listing, log_start
from filtercrawl.pipeline.scheduler import crawl_concurrently
from filtercrawl.transport import MeasuredTransport, network

__all__ = ["SyncContext", "sync"]

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
        UsageError: A selector or a setting is wrong.
        ConflictError: Another run works on the dataset.
        DatasetError: The dataset cannot be read or written.
    """
    started = time.monotonic()
    settings, cancellation = context.settings, context.cancellation
    chosen = [Selector.parse(text, context.plugins) for text in selectors]
    device = select_device(settings.device)
    transport = context.transport or network(settings.network, cancellation=cancellation)
    layer_store = context.layer_store or LocalLayerStore(settings.dataset)
    log_start(chosen, settings.dataset)
    with (
        crawl_process_settings(),
        locked(settings.dataset, create=True),
        open_catalog(settings, context.progress, layer_store) as catalog,
    ):
        repair_after_crash(settings.dataset, catalog, context.progress, layer_store)
        known = {row.model_id: row for row in catalog.models()}
        opt_out = load_opt_out(settings, transport)
        listings = list_offers(chosen, context, transport, opt_out, known, catalog.selectors())
        plan, deferred = plan_run(listings, context, opt_out, known, catalog.renamed())
        report = SyncReport.of(listings, plan, deferred, layer_bytes_on_disk(settings.dataset, catalog))
        index = ContentIndex(content_owners(known), (task.model_id for task in plan.tasks))
        if settings.dry_run:
            report.proposal = Approval.of(plan, known, settings.limit)
            with suppress(Cancelled):
                estimate_plan(plan, index, context, transport, report)
        else:
            writer = make_writer(context, catalog, layer_store, index, removed_by_hash(plan, known))
            workers = make_worker_context(context, transport, index, device)
            crawl_and_commit(plan, workers, writer, context, report)
            prune_opted_out(plan, writer)
            record_offers(plan, listings, writer, context)
            prune_removed(plan, writer, report, enabled=settings.prune)
            update_run_final(catalog, plan)
            writer.enforce_licenses()
            export(settings.dataset, catalog, context.progress)
    report.requests = transport.requests
    report.seconds = round(time.monotonic() - started, 3)
    log_end(report)
    return report


def list_offers(
    selectors: Sequence[Selector],
    context: SyncContext,
    transport: MeasuredTransport,
    opt_out: OptOut,
    known: Mapping[str, ModelRow],
    previous_selectors: Mapping[str, str | None],
) -> list[Listing]:
    """List what every selector offers."""
    listings = discover(
        selectors,
        DiscoveryContext(
            plugins=context.plugins,
            transport=transport,
            settings=context.settings.sources,
            previous_states=known,
            opt_out=opt_out,
            dry_run=context.settings.dry_run,
        ),
    )
    refuse_name_collisions(listings, known, previous_selectors)
    for listing in listings:
        log_listing(listing)
    return listings


def plan_run(
    listings: Sequence[Listing],
    context: SyncContext,
    opt_out: OptOut,
    known: Mapping[str, ModelRow],
    renamed: Mapping[tuple[str, str], str],
) -> tuple[Plan, list[str]]:
    """Return what the run will do, and the model ids that are not approved and so left for a later run."""
    settings = context.settings
    plan = make_plan(
        listings,
        PlanOptions(
            now=context.now,
            version=VERSION,
            policy=settings.kernel_size,
            retry=settings.retry,
            licenses=settings.license,
            license_policy=settings.license_policy,
            opt_out=opt_out,
            known_models=known,
            renamed=renamed,
        ),
    )
    return (plan, []) if context.approval is None else context.approval.restrict(plan, known)


def layer_bytes_on_disk(dataset: Path, catalog: Catalog) -> int:
    """Return the bytes of the layers files in the folder; a published version may hold others."""
    return sum(size for path, size, _ in catalog.layer_files() if (dataset / path).is_file())


def estimate_plan(
    plan: Plan, index: ContentIndex, context: SyncContext, transport: MeasuredTransport, report: SyncReport
) -> None:
    """Add to the report what the plan is expected to cost; sends no request and writes nothing."""
    context.progress.start(len(plan.tasks))
    for task in plan.tasks:
        context.cancellation.raise_if_cancelled()
        estimate = estimate_cost(task, index, context.plugins.sources.get(task.source), transport)
        report.add_estimate(task, estimate)
        context.progress.done(task.model_id, task.action)
    for model_id in sorted({model_id for model_id, _ in plan.removed}):
        report.count_removed(model_id)


def make_writer(
    context: SyncContext,
    catalog: Catalog,
    layer_store: LayerStore,
    index: ContentIndex,
    removed: Mapping[tuple[str, str], list[str]],
) -> CatalogWriter:
    """Return the writer of results, for use by the main thread."""
    return CatalogWriter(
        dataset=context.settings.dataset,
        catalog=catalog,
        license_policy=context.settings.license_policy,
        now=context.now,
        version=VERSION,
        index=index,
        removed_by_content=removed,
        layer_store=layer_store,
    )


def make_worker_context(
    context: SyncContext, transport: MeasuredTransport, index: ContentIndex, device: torch.device
) -> WorkerContext:
    """Return what the workers of a run share."""
    settings, plugins = context.settings, context.plugins
    return WorkerContext(
        sources=plugins.sources,
        readers=plugins.readers,
        transport=transport,
        index=index,
        write_options=LayerWriteOptions(staging=settings.dataset / TEMPORARY, device=device, measures=plugins.measures),
        write_slots=WeightedSemaphore(settings.jobs),
        verify_all=settings.prove,
        cancellation=context.cancellation,
    )


def crawl_and_commit(
    plan: Plan, workers: WorkerContext, writer: CatalogWriter, context: SyncContext, report: SyncReport
) -> None:
    """Crawl the tasks of the plan and commit each result; ends early when cancelled or when a budget is used up."""
    settings, progress = context.settings, context.progress
    tasks = plan.tasks[: settings.limit]
    deadline = None if settings.time_limit is None else time.monotonic() + settings.time_limit

    def may_start() -> bool:
        return not context.cancellation.cancelled and not report.budget_exhausted(settings, deadline)

    progress.start(len(tasks))
    results = crawl_concurrently(tasks, workers, jobs=settings.jobs, may_start=may_start)
    with closing(results), suppress(Cancelled):  # what was committed is exported all the same
        free_space_if_full(writer.layer_store, report, settings)
        for crawled in results:
            started = time.perf_counter()
            result, outcome = commit_result(crawled, writer, workers)
            report.count(result, outcome)
            log_checkpoint(result, outcome, time.perf_counter() - started)
            if result.structure_error is not None:
                progress.message(f"{result.task.model_id}: no structure from its graph: {result.structure_error}")
            progress.done(result.task.model_id, result.error or outcome)
            free_space_if_full(writer.layer_store, report, settings)


def commit_result(
    result: CrawlResult, writer: CatalogWriter, workers: WorkerContext
) -> tuple[CrawlResult, CommitOutcome]:
    """Commit one result, and return the result that was committed with its outcome.

    A checkpoint that was to take over the weights of a duplicate is crawled itself if those weights are lost.
    """
    try:
        while (outcome := writer.commit(result)) == "must_recrawl":
            result = crawl(result.task, workers)
    except MemoryError:  # the transaction was rolled back
        discard(result.layers)
        result = CrawlResult(task=result.task, error=OUT_OF_MEMORY)
        outcome = writer.commit(result)
    return result, outcome


def free_space_if_full(layer_store: LayerStore, report: SyncReport, settings: Settings) -> None:
    """Have layers files moved elsewhere when they take all the space that they may."""
    if report.disk_is_full(settings):
        report.bytes_on_disk = layer_store.free_space()


def prune_opted_out(plan: Plan, writer: CatalogWriter) -> None:
    """Remove the content of checkpoints that the opt-outs name."""
    for model_id in plan.opted_out:
        writer.prune(model_id, OPTED_OUT)


def record_offers(plan: Plan, listings: Sequence[Listing], writer: CatalogWriter, context: SyncContext) -> None:
    """Record which checkpoints and selectors were listed, and what was skipped."""
    for source, selector_id, skipped in plan.skipped:
        offered = plan.seen.get(f"{source}/{skipped.name}")
        writer.skip(source, selector_id, skipped, offered[1] if offered else None)
    for model_id in plan.unchanged:
        writer.mark_seen(model_id, *plan.seen[model_id])
    for listing in listings:
        selector = listing.selector
        writer.catalog.put_selector(
            SourceRow(
                selector_id=selector.id,
                source=selector.source,
                selector=str(selector),
                plugin=context.plugins.origin[selector.source],
                listed=context.now if listing.problem is None else None,
                n_offered=len(listing.checkpoints),
                ignored=json.dumps(listing.ignored, sort_keys=True) if listing.ignored else None,
            )
        )


def prune_removed(plan: Plan, writer: CatalogWriter, report: SyncReport, *, enabled: bool) -> None:
    """Count the checkpoints that are no longer offered, and remove their content if that is enabled."""
    for model_id in sorted({model_id for model_id, _ in plan.removed} - writer.renamed):
        report.count_removed(model_id)
        if enabled:
            writer.prune(model_id)


def export(dataset: Path, catalog: Catalog, progress: Progress) -> None:
    """Write the tables, the card and the manifest if the catalog changed."""
    if catalog.needs_export:
        progress.message("writing the tables")
        export_if_needed(dataset, catalog)
