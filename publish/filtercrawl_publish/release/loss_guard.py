"""Whether a release lacks more of the last one than it may."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from filtercrawl.api.errors import PolicyError
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl_publish.repository.base import Repository

_TABLES = ("data/models.parquet", "data/index.parquet")


@dataclass(frozen=True, kw_only=True)
class LossReport:
    """What a release lacks of the last one. what: `rows of layers` or `models`; of: how many that one had; names: of
    checkpoints, a few.
    """

    what: str
    count: int
    of: int
    names: tuple[str, ...]

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0.0

    def __str__(self) -> str:
        some = ", ".join(self.names) + (", ..." if self.count > len(self.names) else "")
        return f"{self.count:,} of {self.of:,} {self.what} ({100 * self.share:.1f} %): {some}"


@dataclass(frozen=True, kw_only=True)
class GuardedLayer:
    """A layer that was read. rows: in `layers`; stored: whether they are there, or those of another one are."""

    layer_id: str
    model_id: str
    sha256: str
    rows: int
    stored: bool


def check_losses(repository: Repository, commit: str, dataset: Path, max_lost: float) -> None:
    """Compare a dataset with the version that it follows; raises RefusedError where more than a share is gone.

    Reads two tables of that version. What was withdrawn is gone on purpose and does not count.
    """
    with tempfile.TemporaryDirectory(prefix="filtercrawl-") as scratch:
        before = Path(scratch)
        wanted = [path for path in _TABLES if path in repository.files(commit)]
        repository.fetch(wanted, commit, before)
        losses = list(find_losses(before, dataset))
    for loss in losses:
        if loss.share > max_lost:
            raise PolicyError(
                f"not published: it would lack {loss}; at most {100 * max_lost:g} % may be lost. "
                "If that is right, publish it with --allow-loss"
            )


def find_losses(before: Path, after: Path) -> Iterator[LossReport]:
    """Yield what of the dataset at `before` is not in that at `after`: rows of `layers`, and models with layers.

    A layer is not lost where another row or file has its weights, as with duplicates and changed checkpoints.
    """
    withdrawn = {model_id for model_id, outcome in _models(after).items() if outcome == "withdrawn"}
    old, new = _layers(before), _layers(after)
    stored = [layer for layer in old if layer.stored]
    ids, weights = {layer.layer_id for layer in new}, {layer.sha256 for layer in new}
    kept = {layer.model_id for layer in new} | withdrawn
    gone = [
        layer
        for layer in stored
        if layer.layer_id not in ids and layer.sha256 not in weights and layer.model_id not in withdrawn
    ]
    rows = sum(layer.rows for layer in stored)
    yield _loss("rows of layers", sum(layer.rows for layer in gone), rows, {layer.model_id for layer in gone})
    models = {layer.model_id for layer in old}
    yield _loss("models", len(models - kept), len(models), models - kept)


def _loss(what: str, count: int, of: int, names: set[str]) -> LossReport:
    return LossReport(what=what, count=count, of=of, names=tuple(sorted(names)[:3]))


def _models(folder: Path) -> dict[str, str]:
    table = DatasetFolder(folder).table("models", ["model_id", "outcome"])
    return dict(zip(table["model_id"].to_pylist(), table["outcome"].to_pylist(), strict=True))


def _layers(folder: Path) -> list[GuardedLayer]:
    names = ["layer_id", "model_id", "layer_sha256", "n_parts", "file"]
    table = DatasetFolder(folder).table("index", names)
    columns = (table.filter(pc.is_valid(table["layer_sha256"]))[name].to_pylist() for name in names)
    return [
        GuardedLayer(layer_id=layer_id, model_id=model_id, sha256=sha256, rows=rows, stored=file is not None)
        for layer_id, model_id, sha256, rows, file in zip(*columns, strict=True)
    ]
