"""Withdraw checkpoints: remove their weights from the dataset and record why."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import escape_control
from filtercrawl.api.progress import Progress
from filtercrawl.config import Settings, now
from filtercrawl.dataset.files.layer_store import LayerStore
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.display import html_table
from filtercrawl.transport import network
from filtercrawl_publish.publishing.options import PublishOptions, SpaceResult
from filtercrawl_publish.publishing.publish import publish_version
from filtercrawl_publish.publishing.purge import check_purge, plan_purge, purge_history
from filtercrawl_publish.publishing.repository_layer_store import RepositoryLayerStore
from filtercrawl_publish.publishing.repository_state import complete_interrupted_publish
from filtercrawl_publish.publishing.space import known_space, update_space
from filtercrawl_publish.releasing.published_version import check_continued, published_version
from filtercrawl_publish.releasing.restore import restore_version
from filtercrawl_publish.repository.open import open_head

__all__ = ["WithdrawResult", "withdraw_from_folder", "withdraw_from_repository"]


@dataclass(frozen=True, kw_only=True)
class WithdrawResult:
    """What a withdrawal did.

    Attributes:
        dataset: The folder; None for a repository.
        withdrawn: Model ids.
        promoted: Model ids of duplicates that own the shared weights from now on.
        remaining: Model ids of all checkpoints that keep the same weights, those promoted among them.
        files: Layers files that belonged to the withdrawn models.
        repository: Id of the repository; None for a folder.
        version: The version without the models; None for a folder.
        commit: Its commit; None for a folder.
        deleted_files: Files purged from the history; None if nothing was to be purged.
        deleted_versions: Versions that were deleted with them.
        space: What became of the Space; None where there is to be none.
    """

    dataset: str | None
    withdrawn: tuple[str, ...]
    promoted: tuple[str, ...]
    remaining: tuple[str, ...]
    files: tuple[str, ...]
    repository: str | None = None
    version: str | None = None
    commit: str | None = None
    deleted_files: tuple[str, ...] | None = None
    deleted_versions: tuple[str, ...] | None = None
    space: SpaceResult | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what `filtercrawl withdraw --json` prints."""
        content: dict[str, Any] = {
            "dataset": self.dataset,
            "withdrawn": list(self.withdrawn),
            "promoted": list(self.promoted),
            "remaining": list(self.remaining),
            "files": list(self.files),
        }
        if self.repository is not None:
            content |= {"repo": self.repository, "version": self.version, "commit": self.commit}
            content["space"] = self.space.to_dict() if self.space else None
        if self.deleted_files is not None and self.deleted_versions is not None:
            content |= {
                "deleted_files": list(self.deleted_files),
                "deleted_versions": list(self.deleted_versions),
            }
        return content

    def __str__(self) -> str:
        lines = [f"withdrawn: {model_id}" for model_id in self.withdrawn]
        lines += [f"owns the weights from now on: {model_id}" for model_id in self.promoted]
        if self.remaining:
            lines.append(
                f"the same weights are still there as {', '.join(self.remaining)}; withdraw these too to remove them"
            )
        if self.version is not None:
            lines.append(f"published {self.version}: {self.repository}")
        if self.space is not None:
            lines.append(str(self.space))
        lines += [f"deleted version {tag}" for tag in self.deleted_versions or ()]
        lines += [f"deleted from the history: {path}" for path in self.deleted_files or ()]
        return "\n".join(map(escape_control, lines))

    def _repr_html_(self) -> str:
        facts = {
            "withdrawn": ", ".join(self.withdrawn),
            "promoted": ", ".join(self.promoted),
            "still have these weights": ", ".join(self.remaining),
            "published": self.version,
            "deleted versions": ", ".join(self.deleted_versions or ()),
            "deleted files": ", ".join(self.deleted_files or ()),
        }
        return html_table(self.repository or str(self.dataset), {k: v for k, v in facts.items() if v})


def withdraw_from_folder(
    models: Sequence[str], reason: str, settings: Settings, layer_store: LayerStore | None = None, name: str = ""
) -> WithdrawResult:
    """Withdraw checkpoints from a dataset folder and write its tables.

    Each keeps a row in `models` and gets one in `withdrawn`; it is never read again. If other models have the same
    weights, the first of them by release and id owns the weights from now on.

    Args:
        models: Model ids.
        reason: Published in `withdrawn`.
        settings: Their `dataset` is the folder.
        layer_store: Where the layers files are; None for the folder alone.
        name: What to call the dataset in messages; the folder where empty.

    Raises:
        UsageError: The reason is empty, or an id is unknown; nothing was changed.
        DatasetError: The folder holds no dataset; nothing was created.
        ConflictError: Another run is using the folder.
    """
    from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
    from filtercrawl.dataset.catalog.recovery import export_if_needed, open_dataset

    if not reason.strip():
        raise UsageError("--reason is empty: state why the checkpoints are withdrawn; it is published")
    with open_dataset(settings, layer_store=layer_store) as dataset:
        catalog = dataset.catalog
        rows = {row.model_id: row for row in catalog.models()}
        for model_id in models:
            if model_id not in rows:
                similar = difflib.get_close_matches(model_id, rows, 3)
                hint = (
                    f"did you mean {' or '.join(similar)}?" if similar else "to exclude new ones, use `[sync] opt_out`"
                )
                raise UsageError(f"{name or settings.dataset}: no checkpoint {model_id!r}; {hint}")
        files = [rows[model_id].layers_file for model_id in models]
        ownership = WeightOwnership(dataset=dataset, license_policy=settings.license_policy)
        without_file = {model_id for model_id, row in rows.items() if row.layers_file is None}
        same_weights = {
            row.model_id
            for model_id in models
            for row in catalog.with_layers(catalog.fingerprint(model_id) or "")
            if row.has_weights
        }
        for model_id in dict.fromkeys(models):
            ownership.withdraw(model_id, " ".join(reason.split()), now())
        promoted = [
            row.model_id for row in catalog.models() if row.model_id in without_file and row.layers_file is not None
        ]
        export_if_needed(settings.dataset, catalog)
    return WithdrawResult(
        dataset=settings.dataset_name,
        withdrawn=tuple(sorted(set(models))),
        promoted=tuple(promoted),
        remaining=tuple(sorted(same_weights - set(models))),
        files=tuple(sorted({file for file in files if file is not None})),
    )


def withdraw_from_repository(
    repository_name: str,
    models: Sequence[str],
    reason: str,
    settings: Settings,
    progress: Progress,
    *,
    version: str | None = None,
    purge: bool,
) -> WithdrawResult:
    """Publish a version without these checkpoints; only the tables of the last version are downloaded.

    If the process is killed, running it again completes it.

    Args:
        repository_name: `org/name` or a folder.
        models: Model ids.
        reason: Published in `withdrawn`.
        settings: Their `dataset` is ignored; a temporary folder is used.
        progress: Receives a line per step.
        version: The name of the new version; None for that of the day.
        purge: Also delete the weights from the history, and the versions that contain them; refused before anything is
            changed where that is not possible.

    Raises:
        UsageError: Nothing is published there, or an id is unknown.
        FiltercrawlError: What `restore_version`, `publish_version` and `purge_history` raise.
    """
    transport = network(settings.network)
    repository = open_head(repository_name, transport)
    if purge:
        check_purge(repository, transport)
    with temporary_folder() as temporary:
        dataset = temporary / "dataset"
        settings = replace(settings, dataset=dataset, dataset_url=None)
        repository.check_token()
        state = complete_interrupted_publish(repository, PublishOptions(progress=progress))
        last = published_version(repository, state)
        if last is None:
            raise UsageError(f"{repository.id}: nothing is published there")
        restore_version(repository, last, settings, progress)
        store = RepositoryLayerStore(dataset=dataset, repository=repository, commit=last.base.commit, progress=progress)
        result = withdraw_from_folder(models, reason, settings, store, repository.id)
        options = PublishOptions(
            version=version,
            sign_key=settings.publish.sign_key,
            space=known_space(repository, settings.publish.space),
            progress=progress,
        )
        published = publish_version(
            dataset, repository, options, lambda state: check_continued(repository, state, last.base)
        )
    result = replace(
        result,
        dataset=None,
        repository=repository.id,
        version=published.version,
        commit=published.commit,
        space=published.space,
    )
    if not purge:
        return result
    plan = plan_purge(repository, models, transport)
    for tag in plan.tags:
        progress.message(f"deleting version {tag}, which contains withdrawn weights")
    deleted = purge_history(repository, plan, transport)
    # Rewriting the history gives commits other names, and the page of the Space reads one of them.
    space = update_space(repository, options, published.version, repository.head())
    return replace(result, deleted_files=tuple(deleted), deleted_versions=tuple(plan.tags), space=space)
