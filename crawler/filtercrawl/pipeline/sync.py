"""The whole run: discover, plan, crawl, commit, export."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from filtercrawl.api.checkpoint import RemoteFile, local_path
from filtercrawl.api.errors import Cancelled, UsageError
from filtercrawl.config import device
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.recovery import export_if_needed, open_catalog, repair_after_crash
from filtercrawl.dataset.files.layout import TEMPORARY
from filtercrawl.dataset.files.lock import locked
from filtercrawl.dataset.schema.model_row import ContentKey, ModelRow
from filtercrawl.dataset.tables.staged_layers import discard
from filtercrawl.pipeline.committing.commit import CatalogWriter, CommitOutcome
from filtercrawl.pipeline.context import SyncContext
from filtercrawl.pipeline.crawling.crawl import OUT_OF_MEMORY, crawl
from filtercrawl.pipeline.crawling.result import CrawlResult
from filtercrawl.pipeline.crawling.worker_context import WeightedSemaphore, WorkerContext
from filtercrawl.pipeline.crawling.write_layers import LayerWriteOptions
from filtercrawl.pipeline.discovery.discover import DiscoveryContext, Listing, describe_collision, discover
from filtercrawl.pipeline.discovery.opt_out import REASON as OPTED_OUT
from filtercrawl.pipeline.discovery.opt_out import load_opt_out
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.malloc import return_freed_memory
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.planning.estimate import estimate_cost
from filtercrawl.pipeline.planning.plan import make_plan
from filtercrawl.pipeline.planning.types import Plan, PlanOptions
from filtercrawl.pipeline.report import Report
from filtercrawl.pipeline.scheduler import crawl_concurrently
from filtercrawl.transport import MeasuredTransport, network

__all__ = ["SyncContext", "sync"]

VERSION = version("filtercrawl")


def sync(selectors: Sequence[str], run: SyncContext) -> Report:
    """Bring the dataset up to date with what the selectors offer.

    Incremental: what has not changed costs nothing. Safe to kill: the next run ends with the same files. Raises
    UsageError, BusyError or DatasetError; what is wrong with one checkpoint or one source is in the report.
    """
    return_freed_memory()
    started = time.monotonic()
    chosen = [Selector.parse(text, run.plugins) for text in selectors]
    where = device.select_device(run.settings.device)
    transport = run.transport or network(run.settings.network, cancellation=run.cancellation)
    with locked(run.settings.dataset), open_catalog(run.settings, run.progress) as catalog:
        repair_after_crash(run.settings.dataset, catalog, run.progress, run.already_uploaded)
        known = {row.model_id: row for row in catalog.models()}
        scout = DiscoveryContext(
            plugins=run.plugins,
            transport=transport,
            settings=run.settings.sources,
            previous_states=known,
            opt_out=load_opt_out(run.settings, transport),
        )
        listings = discover(chosen, scout)
        refuse_collisions(listings, known, catalog.selectors())
        plan = make_plan(listings, plan_options(run, catalog, known))
        left_for_later: list[str] = []
        if run.approval is not None:
            plan, left_for_later = run.approval.restrict(plan, known)
        report = Report.of(listings, plan)
        report.deferred = left_for_later
        report.bytes_on_disk = layer_bytes_on_disk(run.settings.dataset, catalog)
        if run.settings.dry_run:
            report.proposal = Approval.of(plan, known, run.settings.limit)
            estimate_plan(plan, model_by_content(known), run, transport, report)
        else:
            writer = CatalogWriter(
                dataset=run.settings.dataset,
                catalog=catalog,
                license_policy=run.settings.license_policy,
                now=run.now,
                version=VERSION,
                model_by_content=model_by_content(known),
                removed_by_content=removed_by_hash(plan, known),
                fetch_layers_file=run.fetch_layers_file,
            )
            workshop = LayerWriteOptions(
                staging=run.settings.dataset / TEMPORARY,
                device=where,
                measures=run.plugins.measures,
                check_cancelled=run.cancellation.raise_if_cancelled,
            )
            context = WorkerContext(
                sources=run.plugins.sources,
                readers=run.plugins.readers,
                write_options=workshop,
                transport=transport,
                model_by_content=writer.model_by_content,
                write_slots=WeightedSemaphore(run.settings.jobs),
                verify_all=run.settings.prove,
            )
            with suppress(Cancelled):  # what was committed is published all the same
                free_disk_space(run, report)
                for crawled in crawl_concurrently(plan.tasks, context, run, report):
                    crawled, became = committed(crawled, writer, context)  # noqa: PLW2901 - the same, perhaps read again
                    report.count(crawled, became)
                    free_disk_space(run, report)
                    if crawled.structure_error is not None:
                        run.progress.message(
                            f"{crawled.task.model_id}: no structure from its graph: {crawled.structure_error}"
                        )
                    run.progress.done(crawled.task.model_id, crawled.error or became)
            for model_id, row in known.items():
                if scout.opt_out.matches(row) and row.outcome not in ("skipped", "withdrawn"):
                    writer.prune(model_id, OPTED_OUT)
            finish_sync(plan, listings, writer, run, report)
    report.requests = transport.requests
    report.seconds = round(time.monotonic() - started, 3)
    return report


def committed(crawled: CrawlResult, book: CatalogWriter, crew: WorkerContext) -> tuple[CrawlResult, CommitOutcome]:
    """Write one result into the catalog; one whose twin is gone is read first. Returns the result that was written."""
    try:
        while (became := book.commit(crawled)) == "again":
            crawled = crawl(crawled.task, crew)
    except MemoryError:  # the transaction was rolled back
        discard(crawled.layers)
        crawled = CrawlResult(task=crawled.task, error=OUT_OF_MEMORY)
        became = book.commit(crawled)
    return crawled, became


def free_disk_space(run: SyncContext, report: Report) -> None:
    if run.free_disk_space is not None and report.disk_is_full(run.settings):
        report.bytes_on_disk = run.free_disk_space()


def layer_bytes_on_disk(dataset: Path, catalog: Catalog) -> int:
    """Return the bytes of the files of layers that lie here; a release may hold others."""
    return sum(size for path, size, _ in catalog.layer_files() if (dataset / path).is_file())


def plan_options(run: SyncContext, catalog: Catalog, known: Mapping[str, ModelRow]) -> PlanOptions:
    settings = run.settings
    return PlanOptions(
        now=run.now,
        version=VERSION,
        policy=settings.kernel_size,
        retry=settings.retry,
        licenses=settings.license,
        license_policy=settings.license_policy,
        known_models=known,
        renamed=catalog.renamed(),
    )


def refuse_collisions(
    listings: Sequence[Listing], known: Mapping[str, ModelRow], texts: Mapping[str, str | None]
) -> None:
    """Raise UsageError where another root, listed earlier and still there, has a file of the same name."""
    for listing in listings:
        if not listing.selector.on_this_machine:
            continue
        for checkpoint in listing.checkpoints:
            row = known.get(f"{listing.selector.source}/{checkpoint.name}")
            before = None if row is None else row.state.url
            others = [texts.get(other) for other in ((row and row.selectors) or ())]
            if before in (None, checkpoint.files[0].url) or str(listing.selector) in others or not others:
                continue
            if local_path(RemoteFile(url=before)).exists():
                raise UsageError(
                    describe_collision(checkpoint.name, str(others[0] or "an earlier run"), str(listing.selector))
                )


def model_by_content(known: Mapping[str, ModelRow]) -> dict[ContentKey, str]:
    """Return (file sha256, prefix, policy) -> model_id of every content that need not be read again."""
    return {
        row.content_key: model_id
        for model_id, row in sorted(known.items(), reverse=True)
        if row.file_sha256 and row.reason is None and row.state.prefix is not None and row.has_weights
    }


def removed_by_hash(plan: Plan, known: Mapping[str, ModelRow]) -> dict[tuple[str, str], list[str]]:
    """Return (selector id, file sha256) -> the names that are gone: a new name with such a file is a rename."""
    gone: dict[tuple[str, str], list[str]] = {}
    for model_id, selector_id in sorted(plan.removed):
        row = known[model_id]
        if row.file_sha256 and row.reason is None:
            gone.setdefault((selector_id, row.file_sha256), []).append(model_id)
    return gone


def estimate_plan(
    plan: Plan,
    model_by_content: Mapping[ContentKey, str],
    run: SyncContext,
    transport: MeasuredTransport,
    report: Report,
) -> None:
    """Say what the plan is expected to cost, without asking for anything and writing nothing."""
    run.progress.start(len(plan.tasks))
    for todo in plan.tasks:
        run.cancellation.raise_if_cancelled()
        report.add_estimate(
            todo, estimate_cost(todo, model_by_content, run.plugins.sources.get(todo.source), transport)
        )
        run.progress.done(todo.model_id, todo.action)
    for model_id in sorted({model_id for model_id, _ in plan.removed}):
        report.count_removed(model_id, known_source(model_id))


def known_source(model_id: str) -> str:
    return model_id.partition("/")[0]


def finish_sync(
    plan: Plan, listings: Sequence[Listing], writer: CatalogWriter, run: SyncContext, report: Report
) -> None:
    """Note what was seen, prune, and publish what changed."""
    catalog, settings = writer.catalog, run.settings
    for source, selector_id, skipped in plan.skipped:
        offered = plan.seen.get(f"{source}/{skipped.name}")
        writer.skip(source, selector_id, skipped, offered[1] if offered else None)
    for model_id in plan.unchanged:
        writer.mark_seen(model_id, *plan.seen[model_id])
    for model_id in sorted({model_id for model_id, _ in plan.removed} - writer.renamed):
        report.count_removed(model_id, known_source(model_id))
        if settings.prune:
            writer.prune(model_id)
    for listing in listings:
        selector = listing.selector
        catalog.put_selector(
            {
                "selector_id": selector.id,
                "source": selector.source,
                "selector": str(selector),
                "plugin": run.plugins.origin[selector.source],
                "listed": run.now.isoformat() if listing.problem is None else None,
                "n_offered": len(listing.checkpoints),
            }
        )
    writer.enforce_licenses()
    if catalog.needs_export:
        run.progress.message("writing the tables")
        export_if_needed(settings.dataset, catalog)
