"""Check `models`, `index` and the ledger against each other: unique ids, valid links, every tensor accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from filtercrawl.api.vocabulary import OUTCOMES, REASONS
from filtercrawl.config.license_policy import METADATA
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl_publish.publishing.checkpoints_file import CHECKPOINTS, is_made_from
from filtercrawl_publish.verification.issues import CheckedFolder, Issue, pc

_MODELS, _INDEX, _LEDGER = "data/models", "data/index", "data/ledger"


def check_models(folder: CheckedFolder) -> Iterator[Issue]:
    """Check ids, outcomes and links of `models`, and its counts against `index`."""
    columns = ["model_id", "source", "name", "outcome", "duplicate_of", "layers_file", "n_layers", "license_policy"]
    models = folder.table("models", columns)
    yield from _check_unique(models["model_id"], _MODELS)
    index = folder.table("index", ["model_id", "layer_sha256", "file", "row_group"])
    layers = index.filter(pc.field("layer_sha256").is_valid())
    emitted = Counter(layers["model_id"].to_pylist())
    not_shared = layers.filter(pc.field("file").is_null() | pc.field("row_group").is_valid())
    sharing = emitted.keys() - set(not_shared["model_id"].to_pylist())
    known, listed_files = set(models["model_id"].to_pylist()), {file.path for file in folder.files}
    for row in models.to_pylist():
        where = f"{_MODELS}: {row['model_id']}"
        if row["model_id"] != f"{row['source']}/{row['name']}":
            yield Issue(where=where, what=f"does not consist of its source {row['source']!r} and name {row['name']!r}")
        if row["outcome"] not in OUTCOMES:
            yield Issue(where=where, what=f"has the unknown outcome {row['outcome']!r}")
        if row["duplicate_of"] is not None and row["duplicate_of"] not in known:
            yield Issue(where=where, what=f"is a duplicate of {row['duplicate_of']!r}, which does not exist")
        if row["layers_file"] is not None and row["layers_file"] not in listed_files:
            yield Issue(where=where, what=f"has its layers in {row['layers_file']!r}, which is not listed")
        has_file = row["layers_file"] is not None or row["model_id"] in sharing
        if row["outcome"] == "emitted" and not has_file and row["license_policy"] != METADATA:
            yield Issue(where=where, what="is emitted but names no layers file")
        if row["license_policy"] == METADATA and row["layers_file"] is not None:
            yield Issue(where=where, what=f"its license withholds the weights, but {row['layers_file']!r} has them")
        if (row["n_layers"] or 0) != emitted[row["model_id"]]:
            what = f"n_layers is {row['n_layers']}, {_INDEX} has {emitted[row['model_id']]}"
            yield Issue(where=where, what=what)
    for model_id in sorted(set(index["model_id"].to_pylist()) - known):
        yield Issue(where=_INDEX, what=f"has layers of {model_id!r}, which is not in {_MODELS}")


def check_checkpoints(folder: CheckedFolder) -> Iterator[Issue]:
    """Compare `data/checkpoints.parquet` with `models`, where it was made from these files of it."""
    if CHECKPOINTS not in folder.verified_files:
        return
    listed = {file.path: file for file in folder.files}
    if not is_made_from(folder.path / CHECKPOINTS, [listed[path] for path in folder.tables("models")]):
        return  # of an earlier state of the folder, or of another program; no run takes it for this one
    rows, models = folder.open(CHECKPOINTS).read(), folder.table("models", MODELS.names)
    if not rows.equals(models):
        yield Issue(where=CHECKPOINTS, what=f"has other rows than {_MODELS}")


def check_index(folder: CheckedFolder) -> Iterator[Issue]:
    """Check that the ids of `index` are unique and that the weights of every layer are in some file."""
    columns = ["model_id", "layer_id", "layer_sha256", "file", "row_group", "duplicate_of"]
    index = folder.table("index", columns)
    yield from _check_unique(index["layer_id"], _INDEX)
    linked = index.filter(pc.field("duplicate_of").is_valid())
    target_ids = pc.unique(linked["duplicate_of"])
    targets = index.filter(pc.is_in(index["layer_id"], target_ids)).select(["layer_id", "layer_sha256"])
    content = dict(zip(targets["layer_id"].to_pylist(), targets["layer_sha256"].to_pylist(), strict=True))
    for row in linked.to_pylist():
        where, target = f"{_INDEX}: {row['layer_id']}", row["duplicate_of"]
        if target not in content:
            yield Issue(where=where, what=f"is a duplicate of {target!r}, which does not exist")
        elif content[target] != row["layer_sha256"]:
            yield Issue(where=where, what=f"is a duplicate of {target!r}, which has other weights")
    yield from _check_shared(index)
    stored = pc.unique(index.filter(pc.field("row_group").is_valid())["layer_sha256"])
    models = folder.table("models", ["model_id", "license_policy"])
    withheld = models.filter(pc.field("license_policy") == METADATA)["model_id"].combine_chunks()
    absent = index.filter(pc.field("file").is_null() & pc.field("layer_sha256").is_valid())
    absent = absent.filter(pc.invert(pc.is_in(absent["model_id"], withheld)))
    for layer_id in absent.filter(pc.invert(pc.is_in(absent["layer_sha256"], stored)))["layer_id"].to_pylist():
        yield Issue(where=f"{_INDEX}: {layer_id}", what="no file holds its weights")


def _check_shared(index: Any) -> Iterator[Issue]:
    """Check that the file that a layer names, and that stores it for another checkpoint, has its weights."""
    columns = ["layer_id", "file", "layer_sha256"]
    shared = index.filter(pc.field("file").is_valid() & pc.field("row_group").is_null()).select(columns).to_pylist()
    if not shared:
        return
    stored = index.filter(pc.field("row_group").is_valid())
    held = set(zip(stored["file"].to_pylist(), stored["layer_sha256"].to_pylist(), strict=True))
    for row in shared:
        if (row["file"], row["layer_sha256"]) not in held:
            what = f"names the file {row['file']!r}, which does not store its weights"
            yield Issue(where=f"{_INDEX}: {row['layer_id']}", what=what)


def check_ledger(folder: CheckedFolder) -> Iterator[Issue]:
    """Check that the ledger has every tensor once, and that `index` has exactly the emitted ones."""
    models = folder.table("models", ["model_id", "tensors_emitted", "tensors_skipped"])
    index = folder.table("index", ["model_id", "tensor", "layer_sha256"])
    layers = index.filter(pc.field("layer_sha256").is_valid()).group_by(["model_id", "tensor"]).aggregate([])
    emitted, ledger_keys = _tensor_ids(layers), []
    counts: Counter[tuple[str, str]] = Counter()
    for batch in folder.batches("ledger", ["model_id", "tensor", "outcome", "reason"]):
        ledger: Any = pa.Table.from_batches([batch])
        grouped = ledger.group_by(["model_id", "outcome"]).aggregate([([], "count_all")]).to_pylist()
        counts.update({(row["model_id"], row["outcome"]): row["count_all"] for row in grouped})
        yield from _check_vocabulary(ledger)
        keys = _tensor_ids(ledger.filter(pc.field("outcome") == "emitted"))
        ledger_keys.extend(keys.chunks)
        for key in keys.filter(pc.invert(pc.is_in(keys, emitted))).to_pylist():
            what = f"is emitted, {_INDEX} has no such layer"
            yield Issue(where=f"{_LEDGER}: {key}", what=what)
    yield from _check_unique(pa.chunked_array(ledger_keys, pa.string()), _LEDGER)
    # Every emitted row has a layer, none twice, and there are as many rows as layers: so every layer has its row.
    n_layers = Counter(layers["model_id"].to_pylist())
    model_rows = {row["model_id"]: row for row in models.to_pylist()}
    for model_id, row in model_rows.items():
        for outcome in ("emitted", "skipped"):
            stated, actual = row[f"tensors_{outcome}"] or 0, counts[(model_id, outcome)]
            if stated != actual:
                what = f"has {actual} {outcome} tensors, {_MODELS} states {stated}"
                yield Issue(where=f"{_LEDGER}: {model_id}", what=what)
        if n_layers[model_id] != counts[(model_id, "emitted")]:
            what = f"has {counts[(model_id, 'emitted')]} emitted tensors, {_INDEX} has {n_layers[model_id]}"
            yield Issue(where=f"{_LEDGER}: {model_id}", what=what)
    for model_id in sorted({model_id for model_id, _ in counts} - model_rows.keys()):
        yield Issue(where=_LEDGER, what=f"has tensors of {model_id!r}, which is not in {_MODELS}")


def _check_vocabulary(ledger: Any) -> Iterator[Issue]:
    rows = ledger.group_by(["outcome", "reason"]).aggregate([("model_id", "min")]).to_pylist()
    for row in rows:
        valid = {"emitted": row["reason"] is None, "skipped": row["reason"] in REASONS}
        if not valid.get(row["outcome"], False):
            what = f"the outcome {row['outcome']!r} with the reason {row['reason']!r} is not in the vocabulary"
            yield Issue(where=f"{_LEDGER}: {row['model_id_min']}", what=what)


def _check_unique(ids: Any, where: str) -> Iterator[Issue]:
    for entry in pc.value_counts(ids).to_pylist():
        if entry["counts"] > 1:
            yield Issue(where=f"{where}: {entry['values']}", what=f"is listed {entry['counts']} times")


def _tensor_ids(table: Any) -> Any:
    """Return `model_id#tensor`, which is the layer id without a bank."""
    return pc.binary_join_element_wise(table["model_id"], table["tensor"], "#")
