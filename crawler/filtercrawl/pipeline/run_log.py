"""Log lines of a sync run: its start and end, each listing, each checkpoint; with structured fields in `extra`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from filtercrawl.api.formatting import format_plural, format_size
from filtercrawl.config.urls import redact_url, redact_urls
from filtercrawl.pipeline.discovery.discover import Listing
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.records import CommitOutcome, CrawlResult
from filtercrawl.pipeline.report import SyncReport

logger = logging.getLogger(__name__)


def log_start(selectors: Sequence[Selector], dataset: Path) -> None:
    """Log that a run starts."""
    logger.info("sync started: %s into %s", format_plural(len(selectors), "selector"), dataset)


def log_listing(listing: Listing) -> None:
    """Log what one selector offers."""
    level = logging.INFO if listing.problem is None else logging.WARNING
    problem = "" if listing.problem is None else f"; incomplete: {redact_urls(listing.problem)}"
    offered, skipped = len(listing.checkpoints), len(listing.skipped)
    selector = redact_url(str(listing.selector))
    logger.log(
        level,
        "%s: offers %s, %d skipped, listed in %.2f s%s",
        selector,
        format_plural(offered, "checkpoint"),
        skipped,
        listing.seconds,
        problem,
        extra={"selector": selector, "offered": offered, "skipped": skipped, "seconds": {"list": listing.seconds}},
    )


def log_checkpoint(result: CrawlResult, outcome: CommitOutcome, commit_seconds: float) -> None:
    """Log what happened to one checkpoint: one line, a warning if it failed."""
    model_id, reason = result.task.model_id, result.error
    seconds = {stage: round(taken, 6) for stage, taken in (*result.seconds.items(), ("commit", commit_seconds))}
    logger.log(
        logging.INFO if reason is None else logging.WARNING,
        "%s: %s%s, %s in %s, %.2f s",
        model_id,
        outcome,
        "" if reason is None else f" ({reason})",
        format_size(result.bytes_fetched),
        format_plural(result.requests, "request"),
        sum(seconds.values()),
        extra={
            "checkpoint": model_id,
            "outcome": outcome,
            "reason": reason,
            "bytes_fetched": result.bytes_fetched,
            "requests": result.requests,
            "seconds": seconds,
        },
    )


def log_end(report: SyncReport) -> None:
    """Log the totals of the run."""
    counts = ", ".join(f"{count} {word}" for word, count in report.checkpoints.items() if count)
    logger.info(
        "sync finished in %.1f s: %s; %s in %s",
        report.seconds,
        counts or "nothing offered",
        format_size(report.bytes_fetched),
        format_plural(report.requests, "request"),
        extra={
            "checkpoints": dict(report.checkpoints),
            "bytes_fetched": report.bytes_fetched,
            "requests": report.requests,
            "seconds": {"total": report.seconds},
        },
    )
