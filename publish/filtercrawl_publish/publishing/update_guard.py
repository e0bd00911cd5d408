"""Refuse to publish a dataset folder that does not know what others have published since it was published last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from filtercrawl.api.errors import NotFoundError, PolicyError, UsageError
from filtercrawl.api.formatting import format_plural
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl_publish.publishing.base_version import recorded_base
from filtercrawl_publish.publishing.staging import has_catalog
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.tables import published_table

__all__ = ["check_updates", "note_published"]

# Outcomes of checkpoints of which a version has something.
_HELD = ("emitted", "duplicate")
# What tells whether a checkpoint was read again.
_COLUMNS = ["model_id", "outcome", "revision", "etag", "file_sha256", "n_kernels"]
_MAX_NAMES = 3

Content = tuple[Any, ...]


def note_published(dataset: Path, repository: Repository, commit: str) -> None:
    """Note that a folder and a commit of a repository have the same content."""
    with Catalog(dataset) as catalog:
        catalog.set_meta(_key(repository), commit)


def check_updates(dataset: Path, repository: Repository, head: str | None, *, replace: bool) -> None:
    """Check that the folder has, or has had, all checkpoints of the latest version.

    What came since the commit that the folder was published as, or was restored from, has to be in the folder: others
    have published it from elsewhere. Of a folder that is not known to have been published there nothing is asked.

    Args:
        dataset: The dataset folder; locked.
        repository: Where it is to be published.
        head: Its latest commit; None for an empty repository.
        replace: Whether anything may be replaced.

    Raises:
        PolicyError: The new version would lack checkpoints, or hold earlier states of them.
        NetworkError: The Hub could not be reached.
    """
    if head is None or replace or not has_catalog(dataset):
        return
    known = _known_commit(dataset, repository, head)
    if known is None or known == head:
        return
    before, theirs = (_contents(published_table(repository, commit, "models", _COLUMNS)) for commit in (known, head))
    ours = _contents(DatasetFolder(dataset).table("models", _COLUMNS))
    lost = sorted(
        model_id
        for model_id, content in theirs.items()
        if content != before.get(model_id) and ours.get(model_id) == before.get(model_id)
    )
    if lost:
        names = ", ".join(lost[:_MAX_NAMES]) + (", ..." if len(lost) > _MAX_NAMES else "")
        raise PolicyError(
            f"{repository.id}: has {format_plural(len(lost), 'checkpoint')} from elsewhere that {dataset} lacks, or "
            f"holds as before ({names}); `filtercrawl release` continues from that version, --replace publishes without"
        )


def _known_commit(dataset: Path, repository: Repository, head: str) -> str | None:
    """Return the commit of the repository that the folder was last known to be; None where there is none."""
    with Catalog(dataset) as catalog:
        noted, base = catalog.get_meta(_key(repository)), recorded_base(catalog)
    for commit in (noted, base.commit if base is not None else None):
        if commit == head:
            return commit
        try:
            if commit is not None and repository.files(commit):
                return commit
        except (NotFoundError, UsageError):  # of another repository, or deleted by a purge
            continue
    return None


def _contents(models: Any) -> dict[str, Content]:
    rows = (row for row in models.to_pylist() if row["outcome"] in _HELD)
    return {row["model_id"]: tuple(row[name] for name in _COLUMNS[2:]) for row in rows}


def _key(repository: Repository) -> str:
    return f"published {repository.id}"
