"""Rows of `models` made from crawl results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from filtercrawl.api.checkpoint import etag
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl.dataset.schema.validation import storable

if TYPE_CHECKING:  # torch takes seconds to import, and a row needs none
    from collections.abc import Mapping
    from datetime import datetime

    from filtercrawl.dataset.schema.rows import Row
    from filtercrawl.dataset.tables.model_row import ContentKey
    from filtercrawl.pipeline.crawling.result import Crawled
from filtercrawl.dataset.tables.model_row import place, places, stated, tried


def fresh(crawled: Crawled, now: datetime, version: str) -> Row:
    """Return the row of a checkpoint that was just read, outcome and content still to come."""
    checkpoint, known = crawled.todo.checkpoint, crawled.todo.known
    run, main = checkpoint.run, checkpoint.files[0]
    record: Row = dict.fromkeys(MODELS.names)
    record |= {
        "model_id": crawled.todo.model_id,
        "source": crawled.todo.source,
        "name": known["name"] if known else checkpoint.name,
        "aliases": sorted({*checkpoint.aliases, *((known["aliases"] or []) if known else [])}),
        "attempts": 0,
        "revision": revision(crawled),
        "etag": etag(checkpoint),
        "file": main.path,
        "format": crawled.format,
        "file_sha256": crawled.file_sha256,
        "file_bytes": crawled.file_bytes,
        "bytes_fetched": crawled.bytes_fetched,
        "verified": crawled.verified,
        "kernel_policy": crawled.todo.policy,
        "first_seen": known["first_seen"] if known else now,
        "last_seen": now,
        "first_release": known["first_release"] if known else None,
        "crawled_at": now,
        "filtercrawl_version": version,
        "selectors": selectors(known, crawled),
        "_tried": tried(checkpoint),
        "_files": places(checkpoint),
        "_url": place(main.url),
        "_prefix": checkpoint.prefix,
        "_version": crawled.version,
    }
    record |= stated(checkpoint)
    if run is not None:
        record |= {"run_id": run.id, "step": run.step, "seed": run.seed, "run_final": run.final}
    return storable(record)


def content_key(crawled: Crawled) -> ContentKey:
    """What two checkpoints have in common whose layers must be the same."""
    return crawled.file_sha256 or "", crawled.todo.checkpoint.prefix, crawled.todo.policy


def same_content(crawled: Crawled, known: Mapping[str, Any]) -> bool:
    """Tell whether a checkpoint holds what it held, read under the same policy; one that nobody hashed may not."""
    digest = crawled.file_sha256
    return digest is not None and digest == known["file_sha256"] and known["kernel_policy"] == crawled.todo.policy


def revision(crawled: Crawled) -> str | None:
    """What changes exactly when the bytes do, as the source or its server says, or as they hash."""
    return crawled.todo.checkpoint.revision or crawled.file_sha256 or crawled.version


def selectors(known: Mapping[str, Any] | None, crawled: Crawled) -> list[str]:
    return sorted({*((known["selectors"] or []) if known else []), crawled.todo.selector_id})
