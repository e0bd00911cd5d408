"""Refuse to publish what the latest version has withdrawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from filtercrawl.api.errors import PolicyError
from filtercrawl.api.formatting import format_plural
from filtercrawl.dataset.files.table_files import paths_of
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.tables import published_table

__all__ = ["check_withdrawals", "published_models"]


def check_withdrawals(
    repository: Repository, head: str | None, models: Iterable[Mapping[str, Any]], advice: str
) -> None:
    """Check that no checkpoint which `head` has withdrawn would be published again.

    Args:
        repository: Where a version is to be published.
        head: Its latest commit; None for an empty repository.
        models: What is to be published: rows of `models` with `model_id` and `outcome`; read only if needed.
        advice: What to do instead.

    Raises:
        PolicyError: A withdrawn checkpoint is among them.
    """
    if head is None or not paths_of(repository.files(head), "withdrawn"):
        return
    withdrawn = set(published_table(repository, head, "withdrawn", ["model_id"])["model_id"].to_pylist())
    back = sorted(
        row["model_id"]
        for row in models
        if row["model_id"] in withdrawn and row["outcome"] not in ("withdrawn", "skipped", "failed")
    )
    if back:
        names = ", ".join(back[:3]) + (", ..." if len(back) > 3 else "")
        count = format_plural(len(back), "checkpoint")
        raise PolicyError(f"{repository.id}: has withdrawn {count} of what is to be published ({names}); {advice}")


def published_models(repository: Repository, commit: str) -> Iterable[Mapping[str, Any]]:
    """Yield `model_id` and `outcome` of the checkpoints in a published version."""
    yield from published_table(repository, commit, "models", ["model_id", "outcome"]).to_pylist()
