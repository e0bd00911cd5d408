"""Guard against losses: refuse a release that lacks too much of the last version."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.compute as pc

from filtercrawl.api.errors import PolicyError
from filtercrawl.config import Settings
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.pipeline.records import Plan
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.tables import fetch_tables, unchanged_files

__all__ = ["GuardedLayer", "LossReport", "check_losses", "check_planned_losses", "compare_layers", "find_losses"]

# Names of models in a message.
_MAX_NAMES: Final = 3


@dataclass(frozen=True, kw_only=True)
class LossReport:
    """What a release lacks of the last version.

    Attributes:
        what: `rows of layers` or `models`.
        count: How many are lost.
        of: How many the last version has.
        names: Up to three model ids.
    """

    what: str
    count: int
    of: int
    names: tuple[str, ...]

    @property
    def share(self) -> float:
        """Lost share, 0 to 1."""
        return self.count / self.of if self.of else 0.0

    def __str__(self) -> str:
        names = ", ".join(self.names) + (", ..." if self.count > len(self.names) else "")
        return f"{self.count:,} of {self.of:,} {self.what} ({100 * self.share:.1f} %): {names}"


@dataclass(frozen=True, kw_only=True)
class GuardedLayer:
    """A layer of `index` whose weights were read.

    Attributes:
        layer_id: Its id.
        model_id: Of its checkpoint.
        sha256: Of its weights.
        rows: Number of its rows in `layers`.
        stored: Whether its own weights are stored, not those of a duplicate.
    """

    layer_id: str
    model_id: str
    sha256: str
    rows: int
    stored: bool


def check_losses(repository: Repository, commit: str, dataset: Path, max_lost: float) -> None:
    """Compare a dataset with the version that it continues.

    Parts of `index` that both have lack nothing, so only the others of that version are downloaded and read. What these
    lack may have moved to any part, so only then all are compared.

    Args:
        repository: Where the version is.
        commit: Of the version.
        dataset: The dataset folder.
        max_lost: Share of rows or models that may be lost, 0 to 1.

    Raises:
        PolicyError: More is lost. Withdrawn models do not count.
    """
    same = unchanged_files(repository, commit, "index", dataset)
    with temporary_folder() as before:
        fetch_tables(repository, commit, ["index"], before, without=same)
        if not any(loss.count for loss in compare_layers(_layers(before), _layers(dataset, same), ())):
            return
        fetch_tables(repository, commit, ["index"], before)
        losses = list(find_losses(before, dataset))
    for loss in losses:
        if loss.share > max_lost:
            raise _refusal("not published", str(loss), max_lost)


def check_planned_losses(repository: Repository, commit: str, plan: Plan, settings: Settings) -> None:
    """Refuse a plan that is certain to lose too much, before anything is read.

    Certain is what an opt-out names, what is dropped for lack of access, and with `prune` what is no longer offered,
    less the new checkpoints: each of them may turn out to be a renamed one. Downloads two tables of the last version
    where the plan removes something.

    Args:
        repository: Where the last version is.
        commit: Of the version.
        plan: Of the sync.
        settings: With `max_lost`.

    Raises:
        PolicyError: More would be lost than `max_lost` allows.
    """
    removed = {*plan.opted_out, *plan.dropped, *(plan.removed_models if settings.prune else ())}
    n_new = sum(task.action == "new" for task in plan.tasks)
    max_lost = settings.publish.max_lost
    if len(removed) <= n_new or max_lost >= 1.0:
        return
    with temporary_folder() as before:
        fetch_tables(repository, commit, ("models", "index"), before)
        models = {layer.model_id for layer in _layers(before)}
    loss = LossReport(
        what="models",
        count=max(0, len(removed & models) - n_new),
        of=len(models),
        names=tuple(sorted(removed & models)[:_MAX_NAMES]),
    )
    if loss.share > max_lost:
        raise _refusal("nothing was read", f"at least {loss}", max_lost)


def _refusal(outcome: str, loss: str, max_lost: float) -> PolicyError:
    return PolicyError(
        f"{outcome}: the new version would lack {loss}; at most {100 * max_lost:g} % may be lost. If this is intended, "
        "run it with --allow-loss"
    )


def find_losses(before: Path, after: Path) -> Iterator[LossReport]:
    """Compare the tables of two dataset folders.

    Yields:
        The loss of rows of `layers`, and of models with layers; also if it is 0.
    """
    withdrawn = {model_id for model_id, outcome in _outcomes(after).items() if outcome == "withdrawn"}
    return compare_layers(_layers(before), _layers(after), withdrawn)


def compare_layers(
    before: Collection[GuardedLayer], after: Collection[GuardedLayer], withdrawn: Collection[str]
) -> Iterator[LossReport]:
    """Compare the layers of two versions.

    A layer is not lost if another row has the same weights, as with duplicates and renamed layers.

    Args:
        before: Layers of the last version.
        after: Layers of the new one.
        withdrawn: Ids of models that were removed on purpose.
    """
    stored = [layer for layer in before if layer.stored]
    ids, weights = {layer.layer_id for layer in after}, {layer.sha256 for layer in after}
    lost = [
        layer
        for layer in stored
        if layer.layer_id not in ids and layer.sha256 not in weights and layer.model_id not in withdrawn
    ]
    rows = sum(layer.rows for layer in stored)
    yield _loss("rows of layers", sum(layer.rows for layer in lost), rows, {layer.model_id for layer in lost})
    models = {layer.model_id for layer in before}
    lost_models = models - {layer.model_id for layer in after} - set(withdrawn)
    yield _loss("models", len(lost_models), len(models), lost_models)


def _loss(what: str, count: int, of: int, names: set[str]) -> LossReport:
    return LossReport(what=what, count=count, of=of, names=tuple(sorted(names)[:_MAX_NAMES]))


def _outcomes(dataset: Path) -> dict[str, str]:
    """Return the outcome by model id."""
    table = DatasetFolder(dataset).table("models", ["model_id", "outcome"])
    return dict(zip(table["model_id"].to_pylist(), table["outcome"].to_pylist(), strict=True))


def _layers(dataset: Path, without: frozenset[str] = frozenset()) -> list[GuardedLayer]:
    names = ["layer_id", "model_id", "layer_sha256", "n_parts", "row_group"]
    table = DatasetFolder(dataset, without=without).table("index", names)
    columns = (table.filter(pc.is_valid(table["layer_sha256"]))[name].to_pylist() for name in names)
    return [
        GuardedLayer(layer_id=layer_id, model_id=model_id, sha256=sha256, rows=rows, stored=group is not None)
        for layer_id, model_id, sha256, rows, group in zip(*columns, strict=True)
    ]
