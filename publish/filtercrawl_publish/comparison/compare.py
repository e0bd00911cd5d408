"""Compare two datasets by their tables: checkpoints, layers, licenses, columns, statistics. Reads no weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute

from filtercrawl.api.vocabulary import TRAINED
from filtercrawl.dataset.files.table_files import has_table
from filtercrawl.dataset.schema.crawl_state import NO_VERSION, CrawlState
from filtercrawl_publish.comparison.difference import Difference, LayerChurn
from filtercrawl_publish.comparison.snapshot import (
    DatasetSnapshot,
    Row,
    SnapshotLayer,
    align_layers,
    set_unchanged_apart,
)

# Kernel size whose statistics are compared: that of the CNN Filter DB paper.
_KERNEL: Final = "3x3"

# Columns of `index` that unchanged layers are counted by.
_COUNTED: Final = ("layer_sha256", "row_group", "n_kernels", "kernel", "run_final", "weight_kind")

# Columns of `models` that describe a checkpoint and do not follow from its bytes.
_METADATA_COLUMNS: Final = (
    "aliases", "architecture", "family", "tag", "library", "task", "visual_category", "training_datasets", "paper",
    "released", "run_id", "step", "seed", "run_final", "metrics", "license_evidence",
)  # fmt: skip
_MAX_EXAMPLES: Final = 5
# Tables whose columns are compared; the schema of `layers` is frozen.
_COMPARED_SCHEMAS: Final = ("index", "models", "sketches")
# The stubs of pyarrow refuse columns in most of its functions.
_pc: Final[Any] = pyarrow.compute


def compare_snapshots(before: DatasetSnapshot | None, after: DatasetSnapshot) -> Difference:
    """Compare two datasets by `index`, `models`, `sketches` and the small tables.

    Parts that both have are only counted. Memory: the rows of `models` in other parts, the layers of changed
    checkpoints, about 150 bytes per 3x3 layer, and one batch of sketches.

    Args:
        before: None stands for an empty dataset.
        after: What to compare it with.

    Raises:
        DatasetError: A table cannot be read.
    """
    layers = _LayerComparison()
    n_unchanged, same = 0, frozenset[str]()
    if before is not None:
        before, after, unchanged = set_unchanged_apart(before, after)
        n_unchanged, same = _count_models(unchanged), after.without
        layers.add_unchanged(unchanged)
    difference = Difference(before=_describe(before, n_unchanged), after=_describe(after, n_unchanged))
    for model_id, old_layers, new_layers in align_layers(before, after):
        layers.add(model_id, old_layers, new_layers)
    difference.kernels = dict(sorted(layers.kernels.items()))
    old_models = before.models if before is not None else {}
    _compare_models(difference, old_models, after.models, layers.changed)
    difference.kept = list(_kept(old_models, after.models))
    difference.effective = [{"model_id": name, "layers": layers.effective[name]} for name in sorted(layers.effective)]
    withdrawn = _new_rows(before, after, "withdrawn", ("model_id",))
    difference.withdrawn = [{"model_id": row["model_id"], "reason": row["reason"]} for row in withdrawn]
    renames = _new_rows(before, after, "renames", ("model_id", "old_name", "new_name"))
    difference.renamed = [{name: row[name] for name in ("model_id", "old_name", "new_name")} for row in renames]
    reasons = {row["model_id"]: row["reason"] for row in after.rows("withdrawn")}
    for row in difference.gone:
        row["reason"] = reasons.get(row["model_id"], row["reason"])
    if before is not None and has_table(before.folder, "models"):
        difference.columns = dict(_compare_columns(before, after))
    from filtercrawl_publish.comparison.statistics import StatisticsOfParts, statistics_shift

    statistics = StatisticsOfParts(same)
    old_statistics = None if before is None else statistics.of(before.folder, layers.old_trained)
    new_statistics = statistics.of(after.folder, layers.new_trained)
    difference.statistics = statistics_shift(old_statistics, new_statistics)
    for description, side in ((difference.before, "before"), (difference.after, "after")):
        description |= {"layers": layers.totals[f"{side} layers"], "kernels": layers.totals[f"{side} kernels"]}
    return difference


def has_content(row: Row) -> bool:
    """Return whether a checkpoint's content is known, also if it has no kernels or duplicates another one."""
    return row.get("n_layers") is not None


def _describe(snapshot: DatasetSnapshot | None, models: int) -> Row:
    """Describe a dataset that has so many checkpoints besides those of the snapshot."""
    if snapshot is None:
        return {"name": None, "dataset_id": None, "root": None, "models": 0}
    ids = {key: snapshot.manifest.get(key) for key in ("dataset_id", "root")}
    return {"name": snapshot.name, **ids, "models": models + sum(map(has_content, snapshot.models.values()))}


def _count_models(snapshot: DatasetSnapshot) -> int:
    """Count the checkpoints whose content is known."""
    return sum(len(batch) - batch["n_layers"].null_count for batch in snapshot.batches("models", ["n_layers"]))


class _LayerComparison:
    """Accumulates the comparison of layers, one checkpoint after the other.

    Attributes:
        changed: Churn by model id, of checkpoints with other layers.
        kernels: Churn of stored layers by kernel size.
        effective: Layers by model id, of which the stored weight is the same and the effective one is not.
        totals: Stored layers and kernels of both datasets.
        old_trained: SHA-256 of the first dataset's trained layers of the compared kernel size.
        new_trained: The same of the second one.
    """

    def __init__(self) -> None:
        self.changed: dict[str, LayerChurn] = {}
        self.kernels: dict[str, LayerChurn] = {}
        self.effective: dict[str, int] = {}
        self.totals: Counter[str] = Counter()
        self.old_trained: set[str] = set()
        self.new_trained: set[str] = set()

    def add_unchanged(self, snapshot: DatasetSnapshot) -> None:
        """Add layers that are the same in both."""
        for batch in snapshot.batches("index", _COUNTED):
            layers = batch.filter(batch["layer_sha256"].is_valid())
            stored = layers.filter(layers["row_group"].is_valid())
            chosen = _pc.equal(layers["kernel"], _KERNEL)
            chosen = _pc.and_(chosen, _pc.fill_null(layers["run_final"], True))
            chosen = _pc.and_(chosen, _pc.is_in(layers["weight_kind"], value_set=pa.array(sorted(TRAINED))))
            trained = layers.filter(chosen)["layer_sha256"].to_pylist()
            for known, side in ((self.old_trained, "before"), (self.new_trained, "after")):
                self.totals[f"{side} layers"] += len(stored)
                self.totals[f"{side} kernels"] += _pc.sum(stored["n_kernels"]).as_py() or 0
                known.update(trained)

    def add(self, model_id: str, old: list[SnapshotLayer], new: list[SnapshotLayer]) -> None:
        for layers, trained, side in ((old, self.old_trained, "before"), (new, self.new_trained, "after")):
            stored = [layer for layer in layers if layer.stored]
            self.totals[f"{side} layers"] += len(stored)
            self.totals[f"{side} kernels"] += sum(layer.n_kernels for layer in stored)
            trained.update(
                layer.layer_sha256
                for layer in layers
                if layer.kernel == _KERNEL and layer.final and layer.weight_kind in TRAINED
            )
        churn = LayerChurn()
        for layer in _layers_missing_in(old, new):
            churn.add(layer)
        for layer in _layers_missing_in(new, old):
            churn.remove(layer)
        if churn:
            self.changed[model_id] = churn
        if count := _effective_changes(old, new):
            self.effective[model_id] = count
        old_stored, new_stored = ([layer for layer in layers if layer.stored] for layers in (old, new))
        for layer in _layers_missing_in(old_stored, new_stored):
            self.kernels.setdefault(layer.kernel, LayerChurn()).add(layer)
        for layer in _layers_missing_in(new_stored, old_stored):
            self.kernels.setdefault(layer.kernel, LayerChurn()).remove(layer)


def _layers_missing_in(others: Iterable[SnapshotLayer], layers: Iterable[SnapshotLayer]) -> Iterator[SnapshotLayer]:
    """Yield the layers that `others` does not have with the same weights."""
    known = {(layer.layer_id, layer.kernel, layer.layer_sha256) for layer in others}
    return (layer for layer in layers if (layer.layer_id, layer.kernel, layer.layer_sha256) not in known)


def _effective_changes(old: Iterable[SnapshotLayer], new: Iterable[SnapshotLayer]) -> int:
    """Count the layers of the same stored weight whose effective weight is known in both, and another."""
    known = {(layer.layer_id, layer.layer_sha256): layer.effective_sha256 for layer in old}
    pairs = ((known.get((layer.layer_id, layer.layer_sha256)), layer.effective_sha256) for layer in new)
    return sum(bool(before and after) and before != after for before, after in pairs)


def _compare_models(
    difference: Difference, old: dict[str, Row], new: dict[str, Row], churn: dict[str, LayerChurn]
) -> None:
    metadata: dict[str, list[Row]] = {}
    for model_id in sorted(old.keys() | new.keys()):
        before, after = old.get(model_id, {}), new.get(model_id, {})
        key = {"model_id": model_id}
        if after.get("outcome") == "failed" and before.get("outcome") != "failed":
            difference.failed.append(key | {"reason": after["reason"]})
        if has_content(after) and not has_content(before):
            counts = {name: after[name] for name in ("n_layers", "n_kernels", "license", "duplicate_of")}
            difference.new.append(key | {"outcome": after["outcome"]} | counts)
            continue
        if has_content(before) and not has_content(after):
            difference.gone.append(key | {"outcome": after.get("outcome"), "reason": after.get("reason")})
            continue
        if not has_content(after):
            continue
        _compare_model(difference, key, before, after, churn.get(model_id))
        for column in _METADATA_COLUMNS:
            if before.get(column) != after.get(column):
                example = key | {"from": before.get(column), "to": after.get(column)}
                metadata.setdefault(column, []).append(example)
    difference.metadata = {
        column: {"changed": len(rows), "examples": rows[:_MAX_EXAMPLES]} for column, rows in sorted(metadata.items())
    }


def _kept(old: dict[str, Row], new: dict[str, Row]) -> Iterator[Row]:
    """Yield what both datasets hold and its source gives no access to by now, for a reason that is new."""
    for model_id in sorted(old.keys() & new.keys()):
        before, after = old[model_id], new[model_id]
        reason = _restricted(after)
        if has_content(before) and has_content(after) and reason is not None and reason != _restricted(before):
            yield {"model_id": model_id, "reason": reason}


def _restricted(row: Row) -> str | None:
    """Return why the source of a checkpoint gives no access to it; None where it does, or where that is not known."""
    try:
        return CrawlState.unpack(row["state"], NO_VERSION, None).restricted
    except ValueError:  # nobody else's dataset has to keep to it
        return None


def _compare_model(difference: Difference, key: Row, before: Row, after: Row, churn: LayerChurn | None) -> None:
    """Compare a checkpoint whose content both datasets have."""
    files = (before["file_sha256"], after["file_sha256"])
    another_file = None not in files and files[0] != files[1]
    if another_file or churn is not None:
        difference.changed.append(key | {"file": another_file} | vars(churn or LayerChurn()))
    old_original, new_original = before["duplicate_of"], after["duplicate_of"]
    if new_original is not None and old_original != new_original:
        difference.merged.append(key | {"duplicate_of": new_original})
    elif old_original is not None and new_original is None:
        difference.promoted.append(key | {"was_duplicate_of": old_original})
    if before["license"] != after["license"]:
        difference.licenses.append(key | {"from": before["license"], "to": after["license"]})


def _new_rows(before: DatasetSnapshot | None, after: DatasetSnapshot, table: str, key: tuple[str, ...]) -> list[Row]:
    """Return the rows that only the second dataset has."""
    known = {tuple(row[name] for name in key) for row in (before.rows(table) if before else ())}
    return [row for row in after.rows(table) if tuple(row[name] for name in key) not in known]


def _compare_columns(before: DatasetSnapshot, after: DatasetSnapshot) -> Iterator[tuple[str, dict[str, list[str]]]]:
    for table in _COMPARED_SCHEMAS:
        old, new = before.columns(table), after.columns(table)
        if not old or not new:
            continue
        added, removed = ([c for c in a if c not in b] for a, b in ((new, old), (old, new)))
        if added or removed:
            yield table, {"added": added, "removed": removed}
