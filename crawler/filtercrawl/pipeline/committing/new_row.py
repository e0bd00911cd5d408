"""Rows of `models` made from crawl results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from filtercrawl.api.checkpoint import combined_etag
from filtercrawl.dataset.schema.crawl_state import CrawlState
from filtercrawl.dataset.schema.model_row import ContentKey, ModelRow
from filtercrawl.dataset.tables.source_metadata import attempted_version, file_etags, location, with_source_metadata

if TYPE_CHECKING:  # torch takes seconds to import, and a row needs none
    from datetime import datetime

    from filtercrawl.pipeline.crawling.crawl import CrawlResult


def new_model_row(result: CrawlResult, now: datetime, version: str) -> ModelRow:
    """Return the row of a checkpoint that was just read; its outcome and content are filled in later."""
    checkpoint, known = result.task.checkpoint, result.task.previous
    row = ModelRow(
        model_id=result.task.model_id,
        source=result.task.source,
        name=known.name if known else checkpoint.name,
        aliases=tuple(sorted({*checkpoint.aliases, *((known.aliases or ()) if known else ())})),
        outcome="failed",
        revision=revision(result),
        etag=combined_etag(checkpoint),
        file=checkpoint.files[0].path,
        format=result.format,
        file_sha256=result.file_sha256,
        file_bytes=result.file_bytes,
        bytes_fetched=result.bytes_fetched,
        verified=result.verification,
        kernel_policy=result.task.policy,
        first_seen=known.first_seen if known else now,
        last_seen=now,
        first_release=known.first_release if known else None,
        crawled_at=now,
        filtercrawl_version=version,
        selectors=selectors(known, result),
        state=CrawlState(
            tried=attempted_version(checkpoint),
            files=file_etags(checkpoint),
            url=location(checkpoint),
            prefix=checkpoint.prefix,
            version=result.version,
            tensors=result.tensors_sha256,
            training=result.training,
        ),
    )
    return with_source_metadata(row, checkpoint)


def content_key(result: CrawlResult) -> ContentKey:
    """Return what two checkpoints have in common whose layers must be the same."""
    return result.file_sha256 or "", result.task.checkpoint.prefix, result.task.policy


def same_content(result: CrawlResult, known: ModelRow) -> bool:
    """Tell whether a checkpoint has the bytes that it had, under the same policy; False without a hash."""
    digest = result.file_sha256
    return digest is not None and digest == known.file_sha256 and known.kernel_policy == result.task.policy


def revision(result: CrawlResult) -> str | None:
    """Return what changes exactly when the bytes do, as the source or its server says, or as they hash."""
    return result.task.checkpoint.revision or result.file_sha256 or result.version


def selectors(known: ModelRow | None, result: CrawlResult) -> tuple[str, ...]:
    """Return the selectors that list a checkpoint, with the one that listed it now."""
    return tuple(sorted({*((known.selectors or ()) if known else ()), result.task.selector_id}))
