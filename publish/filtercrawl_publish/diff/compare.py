"""What is different between two datasets: checkpoints, layers, licences, columns; weights are not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.vocabulary import TRAINED
from filtercrawl.dataset.files import manifest
from filtercrawl_publish.diff.snapshot import TABLES, DatasetSnapshot, Row, SnapshotLayer, align_layers

if TYPE_CHECKING:
    from filtercrawl_publish.diff.statistics import StatisticsShift

# Of which the movement is told: the kernels of the paper.
_KERNEL: Final = "3x3"

# What is said of a checkpoint beside its bytes.
STATED: Final = (
    "aliases", "architecture", "family", "tag", "library", "task", "visual_category", "training_datasets", "paper",
    "released", "run_id", "step", "seed", "run_final", "metrics", "license_evidence",
)  # fmt: skip
EXAMPLES: Final = 5
# Tables whose columns are compared; that of the weights is frozen.
_TABLES: Final = ("index", "models", "sketches")


@dataclass
class LayerChurn:
    """Layers and kernels that came and went; a layer whose numbers changed does both."""

    layers_added: int = 0
    layers_removed: int = 0
    kernels_added: int = 0
    kernels_removed: int = 0

    def add(self, layer: SnapshotLayer) -> None:
        self.layers_added += 1
        self.kernels_added += layer.n_kernels

    def remove(self, layer: SnapshotLayer) -> None:
        self.layers_removed += 1
        self.kernels_removed += layer.n_kernels

    def __bool__(self) -> bool:
        return any(vars(self).values())


@dataclass(kw_only=True)
class Difference:
    """What `before` and `after` differ in; lists of checkpoints are by model_id.

    before, after: what each is and holds. new, changed, gone: checkpoints whose content is held on one side, or is
    another; gone with the reason that `withdrawn` or `models` states. renamed, merged, promoted: rows with the ids.
    merged: duplicates now of another checkpoint; promoted: no longer. failed: since then. licenses: from, to. stated:
    how many checkpoints differ in a column, with examples. kernels: by kernel size, of layers whose weights are stored.
    columns: added and removed, by table.
    """

    before: Row
    after: Row
    new: list[Row] = field(default_factory=list)
    changed: list[Row] = field(default_factory=list)
    gone: list[Row] = field(default_factory=list)
    withdrawn: list[Row] = field(default_factory=list)
    renamed: list[Row] = field(default_factory=list)
    merged: list[Row] = field(default_factory=list)
    promoted: list[Row] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)
    licenses: list[Row] = field(default_factory=list)
    stated: dict[str, Row] = field(default_factory=dict)
    kernels: dict[str, LayerChurn] = field(default_factory=dict)
    columns: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    movement: StatisticsShift | None = None

    def __bool__(self) -> bool:
        told = (self.new, self.changed, self.gone, self.withdrawn, self.renamed, self.merged, self.promoted)
        return any((*told, self.failed, self.licenses, self.stated, self.kernels, self.columns))

    def as_json(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "models": {
                name: getattr(self, name)
                for name in ("new", "changed", "gone", "withdrawn", "renamed", "merged", "promoted", "failed")
            },
            "licenses": self.licenses,
            "metadata": self.stated,
            "kernels": {size: vars(turnover) for size, turnover in self.kernels.items()},
            "columns": self.columns,
            "movement": None if self.movement is None else self.movement.as_json(),
        }


def compare_snapshots(before: DatasetSnapshot | None, after: DatasetSnapshot) -> Difference:
    """Compare two datasets by `index`, `models`, `sketches` and their small tables; before: None for nothing at all.

    Memory: the rows of `models` of both, the layers of checkpoints that changed, some 150 bytes a 3x3 layer, a batch of
    sketches. Raises DatasetError where a table cannot be read.
    """
    found = Difference(before=_holds(before), after=_holds(after))
    old = before.models if before is not None else {}
    layers = _Layers(found)
    for model_id, was, now in align_layers(before, after):
        layers.take(model_id, was, now)
    _models(found, old, after.models, layers.changed)
    tombstones = _new_rows(before, after, "withdrawn", ("model_id",))
    found.withdrawn = [{"model_id": row["model_id"], "reason": row["reason"]} for row in tombstones]
    renames = _new_rows(before, after, "renames", ("model_id", "old_name", "new_name"))
    found.renamed = [{name: row[name] for name in ("model_id", "old_name", "new_name")} for row in renames]
    why = {row["model_id"]: row["reason"] for row in after.rows("withdrawn")}
    for row in found.gone:
        row["reason"] = why.get(row["model_id"], row["reason"])
    if before is not None and old:
        found.columns = dict(_columns(before, after))
    from filtercrawl_publish.diff.statistics import (  # with torch, which the command line does without
        statistics_shift,
        trained_kernel_stats,
    )

    earlier = None if before is None else trained_kernel_stats(before.folder, layers.was)
    found.movement = statistics_shift(earlier, trained_kernel_stats(after.folder, layers.now))
    for side, name in ((found.before, "before"), (found.after, "after")):
        side |= {"layers": layers.totals[f"{name} layers"], "kernels": layers.totals[f"{name} kernels"]}
    return found


def _holds(side: DatasetSnapshot | None) -> Row:
    if side is None:
        return {"name": None, "dataset_id": None, "root": None, "models": 0}
    stated = {key: side.manifest.get(key) for key in ("dataset_id", "root")}
    return {"name": side.name, **stated, "models": sum(map(has_content, side.models.values()))}


def has_content(row: Row) -> bool:
    """Tell whether the dataset has what a checkpoint holds, be it nothing or what another one holds too."""
    return row.get("n_layers") is not None


class _Layers:
    """Takes the layers of one checkpoint after the other. changed: those whose layers are others."""

    def __init__(self, found: Difference) -> None:
        self._kernels: dict[str, LayerChurn] = {}
        self._found = found
        self.changed: dict[str, LayerChurn] = {}
        self.totals: Counter[str] = Counter()
        self.was: set[str] = set()
        self.now: set[str] = set()

    def take(self, model_id: str, was: list[SnapshotLayer], now: list[SnapshotLayer]) -> None:
        for layers, digests, side in ((was, self.was, "before"), (now, self.now, "after")):
            stored = [layer for layer in layers if layer.stored]
            self.totals[f"{side} layers"] += len(stored)
            self.totals[f"{side} kernels"] += sum(layer.n_kernels for layer in stored)
            digests.update(
                layer.layer_sha256
                for layer in layers
                if layer.kernel == _KERNEL and layer.final and layer.weight_kind in TRAINED
            )
        turnover = LayerChurn()
        for layer in _missing(now, was):
            turnover.add(layer)
        for layer in _missing(was, now):
            turnover.remove(layer)
        if turnover:
            self.changed[model_id] = turnover
        old, new = ([layer for layer in layers if layer.stored] for layers in (was, now))
        for layer in _missing(new, old):
            self._kernels.setdefault(layer.kernel, LayerChurn()).add(layer)
        for layer in _missing(old, new):
            self._kernels.setdefault(layer.kernel, LayerChurn()).remove(layer)
        self._found.kernels = dict(sorted(self._kernels.items()))


def _missing(layers: Iterable[SnapshotLayer], others: Iterable[SnapshotLayer]) -> Iterator[SnapshotLayer]:
    """Yield the layers that `others` does not have with the same numbers."""
    there = {(layer.layer_id, layer.kernel, layer.layer_sha256) for layer in others}
    return (layer for layer in layers if (layer.layer_id, layer.kernel, layer.layer_sha256) not in there)


def _models(found: Difference, old: dict[str, Row], new: dict[str, Row], layers: dict[str, LayerChurn]) -> None:
    stated: dict[str, list[Row]] = {}
    for model_id in sorted(old.keys() | new.keys()):
        was, now = old.get(model_id, {}), new.get(model_id, {})
        named = {"model_id": model_id}
        if now.get("outcome") == "failed" and was.get("outcome") != "failed":
            found.failed.append(named | {"reason": now["reason"]})
        if has_content(now) and not has_content(was):
            counts = {name: now[name] for name in ("n_layers", "n_kernels", "license", "duplicate_of")}
            found.new.append(named | {"outcome": now["outcome"]} | counts)
            continue
        if has_content(was) and not has_content(now):
            found.gone.append(named | {"outcome": now.get("outcome"), "reason": now.get("reason")})
            continue
        if not has_content(now):
            continue
        _compare_model(found, named, was, now, layers.get(model_id))
        for column in STATED:
            if was.get(column) != now.get(column):
                example = named | {"from": was.get(column), "to": now.get(column)}
                stated.setdefault(column, []).append(example)
    found.stated = {
        column: {"changed": len(rows), "examples": rows[:EXAMPLES]} for column, rows in sorted(stated.items())
    }


def _compare_model(found: Difference, named: Row, was: Row, now: Row, layers: LayerChurn | None) -> None:
    """Note what is different about a checkpoint that both sides hold."""
    files = (was["file_sha256"], now["file_sha256"])
    another_file = None not in files and files[0] != files[1]
    if another_file or layers is not None:
        found.changed.append(named | {"file": another_file} | vars(layers or LayerChurn()))
    twins = (was["duplicate_of"], now["duplicate_of"])
    if twins[1] is not None and twins[0] != twins[1]:
        found.merged.append(named | {"duplicate_of": twins[1]})
    elif twins[0] is not None and twins[1] is None:
        found.promoted.append(named | {"was_duplicate_of": twins[0]})
    if was["license"] != now["license"]:
        found.licenses.append(named | {"from": was["license"], "to": now["license"]})


def _new_rows(before: DatasetSnapshot | None, after: DatasetSnapshot, table: str, key: tuple[str, ...]) -> list[Row]:
    """Return the rows that only the later table has."""
    known = {tuple(row[name] for name in key) for row in (before.rows(table) if before else ())}
    return [row for row in after.rows(table) if tuple(row[name] for name in key) not in known]


def _columns(before: DatasetSnapshot, after: DatasetSnapshot) -> Iterator[tuple[str, dict[str, list[str]]]]:
    for table in _TABLES:
        old, new = before.columns(table), after.columns(table)
        if not old or not new:
            continue
        added, removed = ([c for c in a if c not in b] for a, b in ((new, old), (old, new)))
        if added or removed:
            yield table, {"added": added, "removed": removed}


def files_to_compare(paths: Iterable[str]) -> list[str]:
    """Return those of a version's files that a comparison reads."""
    single = {manifest.PATH, *(f"data/{name}.parquet" for name in TABLES)}
    return sorted(path for path in paths if path in single or path.startswith("data/sketches/"))
