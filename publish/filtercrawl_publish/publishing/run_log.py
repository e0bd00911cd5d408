"""Log lines of publishing: each step with what it did and its seconds; with structured fields in `extra`."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from filtercrawl.api.formatting import format_plural, format_size
from filtercrawl_publish.publishing.upload import FileChanges

__all__ = ["log_comparison", "log_step"]

logger = logging.getLogger(__name__)


def log_comparison(repository: str, version: str, changes: FileChanges) -> None:
    """Log how a staged version differs from the repository."""
    logger.info(
        "%s: %s to upload for %s, %s; %d removed, %d unchanged",
        repository,
        format_plural(len(changes.add), "file"),
        version,
        format_size(changes.bytes),
        len(changes.delete),
        changes.same,
        extra={
            "repository": repository,
            "version": version,
            "step": "compare",
            "files": len(changes.add),
            "bytes": changes.bytes,
            "removed": len(changes.delete),
            "unchanged": changes.same,
        },
    )


@contextmanager
def log_step(repository: str, version: str, step: str, **fields: int) -> Iterator[None]:
    """Log a step when it ends, also if it raises.

    Args:
        repository: Id of the repository.
        version: The version that is published.
        step: Its name, such as `upload`.
        **fields: What it works on, such as `files` and `bytes`.
    """
    started, outcome = time.monotonic(), "failed"
    try:
        yield
        outcome = "done"
    finally:
        seconds = round(time.monotonic() - started, 3)
        details = "".join(f", {_describe(name, value)}" for name, value in fields.items())
        logger.info(
            "%s: %s of %s %s%s, %.1f s",
            repository,
            step,
            version,
            outcome,
            details,
            seconds,
            extra={"repository": repository, "version": version, "step": step, "outcome": outcome, "seconds": seconds}
            | fields,
        )


def _describe(name: str, value: int) -> str:
    return format_size(value) if name == "bytes" else format_plural(value, name.removesuffix("s"))
