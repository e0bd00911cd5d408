"""Rows of `models` made from crawl results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from filtercrawl.api.checkpoint import combined_etag
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl.dataset.schema.rows import Row
from filtercrawl.dataset.schema.validation import storable
from filtercrawl.dataset.tables.model_row import ContentKey, attempted_version, file_etags, public_url, source_columns
from filtercrawl.pipeline.crawling.result import CrawlResult


def new_model_row(result: CrawlResult, now: datetime, version: str) -> Row:
    """Return the row of a checkpoint that was just read, outcome and content still to come."""
    checkpoint, known = result.task.checkpoint, result.task.previous
    run, main = checkpoint.run, checkpoint.files[0]
    record: Row = dict.fromkeys(MODELS.names)
    record |= {
        "model_id": result.task.model_id,
        "source": result.task.source,
        "name": known["name"] if known else checkpoint.name,
        "aliases": sorted({*checkpoint.aliases, *((known["aliases"] or []) if known else [])}),
        "attempts": 0,
        "revision": revision(result),
        "etag": combined_etag(checkpoint),
        "file": main.path,
        "format": result.format,
        "file_sha256": result.file_sha256,
        "file_bytes": result.file_bytes,
        "bytes_fetched": result.bytes_fetched,
        "verified": result.verification,
        "kernel_policy": result.task.policy,
        "first_seen": known["first_seen"] if known else now,
        "last_seen": now,
        "first_release": known["first_release"] if known else None,
        "crawled_at": now,
        "filtercrawl_version": version,
        "selectors": selectors(known, result),
        "_tried": attempted_version(checkpoint),
        "_files": file_etags(checkpoint),
        "_url": public_url(main.url),
        "_prefix": checkpoint.prefix,
        "_version": result.version,
    }
    record |= source_columns(checkpoint)
    if run is not None:
        record |= {"run_id": run.id, "step": run.step, "seed": run.seed, "run_final": run.final}
    return storable(record)


def content_key(result: CrawlResult) -> ContentKey:
    """What two checkpoints have in common whose layers must be the same."""
    return result.file_sha256 or "", result.task.checkpoint.prefix, result.task.policy


def same_content(result: CrawlResult, known: Mapping[str, Any]) -> bool:
    """Tell whether a checkpoint holds what it held, read under the same policy; one that nobody hashed may not."""
    digest = result.file_sha256
    return digest is not None and digest == known["file_sha256"] and known["kernel_policy"] == result.task.policy


def revision(result: CrawlResult) -> str | None:
    """What changes exactly when the bytes do, as the source or its server says, or as they hash."""
    return result.task.checkpoint.revision or result.file_sha256 or result.version


def selectors(known: Mapping[str, Any] | None, result: CrawlResult) -> list[str]:
    return sorted({*((known["selectors"] or []) if known else []), result.task.selector_id})
