"""The whole run: discover, plan, crawl, commit, export."""

from __future__ import annotations

import time
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

from filtercrawl.api.checkpoint import RemoteFile, local_path
from filtercrawl.api.errors import Stopped, UsageError
from filtercrawl.config import device
from filtercrawl.dataset.catalog.recovery import opened, recover, refresh
from filtercrawl.dataset.files.layout import TEMPORARY
from filtercrawl.dataset.files.lock import locked
from filtercrawl.dataset.tables.model_row import ContentKey, has_weights
from filtercrawl.dataset.tables.staged_layers import discard
from filtercrawl.pipeline.committing.commit import Became, Book
from filtercrawl.pipeline.context import Run
from filtercrawl.pipeline.crawling.crawl import OUT_OF_MEMORY, crawl
from filtercrawl.pipeline.crawling.result import Crawled
from filtercrawl.pipeline.crawling.worker_context import Crew, Room
from filtercrawl.pipeline.crawling.write_layers import Workshop
from filtercrawl.pipeline.discovery.discover import Listing, Scout, collision, discover
from filtercrawl.pipeline.discovery.opt_out import REASON as OPTED_OUT
from filtercrawl.pipeline.discovery.opt_out import opt_out
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.malloc import return_large_blocks
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.planning.estimate import foreseen
from filtercrawl.pipeline.planning.plan import make_plan
from filtercrawl.pipeline.planning.types import Plan, Rules
from filtercrawl.pipeline.report import Report
from filtercrawl.pipeline.scheduler import crawl_all
from filtercrawl.transport import network
from filtercrawl.transport.retry import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from filtercrawl.dataset.catalog import Catalog
    from filtercrawl.transport import MeasuredTransport

__all__ = ["Run", "sync"]

VERSION = version("filtercrawl")


def sync(selectors: Sequence[str], run: Run) -> Report:
    """Bring the dataset up to date with what the selectors offer.

    Incremental: what has not changed costs nothing. Safe to kill: the next run ends with the same files. Raises
    UsageError, BusyError or DatasetError; what is wrong with one checkpoint or one source is in the report.
    """
    return_large_blocks()
    started = time.monotonic()
    chosen = [Selector.parse(text, run.plugins) for text in selectors]
    where = device.choose(run.settings.device)
    transport = run.transport or network(run.settings.network, clock=Clock(sleep=run.rest))
    with locked(run.settings.dataset), opened(run.settings, run.progress) as catalog:
        recover(run.settings.dataset, catalog, run.progress, run.held)
        known = {row["model_id"]: row for row in catalog.models(private=True)}
        scout = Scout(
            plugins=run.plugins,
            transport=transport,
            settings=run.settings.sources,
            known=known,
            opt_out=opt_out(run.settings, transport),
        )
        listings = discover(chosen, scout)
        refuse_collisions(listings, known, catalog.selectors())
        plan = make_plan(listings, rules(run, catalog, known))
        left_for_later: list[str] = []
        if run.approval is not None:
            plan, left_for_later = run.approval.applied(plan, known)
        report = Report.of(listings, plan)
        report.deferred = left_for_later
        report.bytes_on_disk = on_disk(run.settings.dataset, catalog)
        if run.settings.dry_run:
            report.proposal = Approval.of(plan, known, run.settings.limit)
            preview(plan, contents(known), run, transport, report)
        else:
            book = Book(
                dataset=run.settings.dataset,
                catalog=catalog,
                rights=run.settings.license_policy,
                now=run.now,
                version=VERSION,
                by_file=contents(known),
                gone=by_content(plan, known),
                bring=run.bring,
            )
            workshop = Workshop(
                staging=run.settings.dataset / TEMPORARY,
                device=where,
                measures=run.plugins.measures,
                pause=run.check,
            )
            crew = Crew(
                sources=run.plugins.sources,
                readers=run.plugins.readers,
                workshop=workshop,
                transport=transport,
                by_file=book.by_file,
                desks=Room(run.settings.jobs),
                prove=run.settings.prove,
            )
            with suppress(Stopped):  # what was committed is published all the same
                make_room(run, report)
                for crawled in crawl_all(plan.todo, crew, run, report):
                    crawled, became = committed(crawled, book, crew)  # noqa: PLW2901 - the same, perhaps read again
                    report.count(crawled, became)
                    make_room(run, report)
                    if crawled.note is not None:
                        run.progress.say(f"{crawled.todo.model_id}: no structure from its graph: {crawled.note}")
                    run.progress.done(crawled.todo.model_id, crawled.reason or became)
            for model_id, row in known.items():
                if scout.opt_out.holds(row) and row["outcome"] not in ("skipped", "withdrawn"):
                    book.prune(model_id, OPTED_OUT)
            finish(plan, listings, book, run, report)
    report.requests = transport.requests
    report.seconds = round(time.monotonic() - started, 3)
    return report


def committed(crawled: Crawled, book: Book, crew: Crew) -> tuple[Crawled, Became]:
    """Write one result into the catalog; one whose twin is gone is read first. Returns the result that was written."""
    try:
        while (became := book.commit(crawled)) == "again":
            crawled = crawl(crawled.todo, crew)
    except MemoryError:  # the transaction was rolled back
        discard(crawled.shard)
        crawled = Crawled(todo=crawled.todo, reason=OUT_OF_MEMORY)
        became = book.commit(crawled)
    return crawled, became


def make_room(run: Run, report: Report) -> None:
    if run.make_room is not None and report.disk_is_full(run.settings):
        report.bytes_on_disk = run.make_room()


def on_disk(dataset: Path, catalog: Catalog) -> int:
    """Return the bytes of the files of layers that lie here; a release may hold others."""
    return sum(size for path, size, _ in catalog.layer_files() if (dataset / path).is_file())


def rules(run: Run, catalog: Catalog, known: Mapping[str, Mapping[str, object]]) -> Rules:
    settings = run.settings
    return Rules(
        now=run.now,
        version=VERSION,
        policy=settings.kernel_size,
        retry=settings.retry,
        licenses=settings.license,
        rights=settings.license_policy,
        known=known,
        renamed=catalog.renamed(),
    )


def refuse_collisions(
    listings: Sequence[Listing], known: Mapping[str, Mapping[str, object]], texts: Mapping[str, str | None]
) -> None:
    """Raise UsageError where another root, listed earlier and still there, has a file of the same name."""
    for listing in listings:
        if not listing.selector.on_this_machine:
            continue
        for checkpoint in listing.checkpoints:
            row = known.get(f"{listing.selector.source}/{checkpoint.name}", {})
            before, here = row.get("_url"), checkpoint.files[0].url
            others = [texts.get(str(other)) for other in list(row.get("selectors") or [])]  # type: ignore[call-overload]
            if before in (None, here) or str(listing.selector) in others or not others:
                continue
            if local_path(RemoteFile(url=str(before))).exists():
                raise UsageError(collision(checkpoint.name, str(others[0] or "an earlier run"), str(listing.selector)))


def contents(known: Mapping[str, Mapping[str, object]]) -> dict[ContentKey, str]:
    """Return (file sha256, prefix, policy) -> model_id of every content that need not be read again."""
    return {
        (str(row["file_sha256"]), str(row["_prefix"]), str(row["kernel_policy"])): model_id
        for model_id, row in sorted(known.items(), reverse=True)
        if row["file_sha256"] and row["reason"] is None and row.get("_prefix") is not None and has_weights(row)
    }


def by_content(plan: Plan, known: Mapping[str, Mapping[str, object]]) -> dict[tuple[str, str], list[str]]:
    """Return (selector id, file sha256) -> the names that are gone: a new name with such a file is a rename."""
    gone: dict[tuple[str, str], list[str]] = {}
    for model_id, selector_id in sorted(plan.removed):
        digest = known[model_id]["file_sha256"]
        if digest and known[model_id]["reason"] is None:
            gone.setdefault((selector_id, str(digest)), []).append(model_id)
    return gone


def preview(
    plan: Plan, by_file: Mapping[ContentKey, str], run: Run, transport: MeasuredTransport, report: Report
) -> None:
    """Say what the plan is expected to cost, without asking for anything and writing nothing."""
    run.progress.begin(len(plan.todo))
    for todo in plan.todo:
        run.check()
        report.expect(todo, foreseen(todo, by_file, run.plugins.sources.get(todo.source), transport))
        run.progress.done(todo.model_id, todo.why)
    for model_id in sorted({model_id for model_id, _ in plan.removed}):
        report.removed(model_id, known_source(model_id))


def known_source(model_id: str) -> str:
    return model_id.partition("/")[0]


def finish(plan: Plan, listings: Sequence[Listing], book: Book, run: Run, report: Report) -> None:
    """Note what was seen, prune, and publish what changed."""
    catalog, settings = book.catalog, run.settings
    for source, selector_id, skipped in plan.skipped:
        offered = plan.seen.get(f"{source}/{skipped.name}")
        book.skip(source, selector_id, skipped, offered[1] if offered else None)
    for model_id in plan.unchanged:
        book.seen(model_id, *plan.seen[model_id])
    for model_id in sorted({model_id for model_id, _ in plan.removed} - book.renamed):
        report.removed(model_id, known_source(model_id))
        if settings.prune:
            book.prune(model_id)
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
    for model_id, policy in list(book.rights.against({row["model_id"]: row for row in catalog.models()})):
        if policy == "drop":
            row = catalog.model(model_id) or {}
            book.prune(model_id, book.rights.dropped(row.get("license")) or "")
        else:
            book.withhold(model_id)
    if catalog.stale:
        run.progress.say("writing the tables")
        refresh(settings.dataset, catalog)
