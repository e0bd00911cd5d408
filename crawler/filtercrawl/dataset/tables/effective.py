"""Rows of `effective`: from recipes of one checkpoint and back, and their record batches."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.parquet import ContentDefinedBoundary
from filtercrawl.dataset.schema.arrow import EFFECTIVE
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.tables.staged_layers import StagedLayers
from filtercrawl.extraction.effective import ASSUMED_EPS, LayerKey, Norm, Recipe, Term

# Bytes of a row group, about: a reader of one checkpoint reads little of others.
_GROUP_BYTES: Final = 4 * 1024**2
_CUT: Final = ContentDefinedBoundary(key="model_id", one_in=16)


def with_recipes(
    staged: StagedLayers, recipes: Iterable[Recipe], bn_folded: Mapping[LayerKey, bool] = MappingProxyType({})
) -> StagedLayers:
    """Add the rows of `effective` to the layers of a checkpoint, and what `index` says of them.

    Recipes with a layer that is not written are left out.

    Args:
        staged: The layers.
        recipes: How effective weights follow from them.
        bn_folded: Whether a batch normalization is folded into a layer, where that is known.
    """
    places = {LayerKey(row.tensor, row.bank_index): place for place, row in enumerate(staged.rows) if row.emitted}
    rows = [replace(row, bn_folded=bn_folded.get(LayerKey(row.tensor, row.bank_index))) for row in staged.rows]
    found: dict[int, dict[str, Any]] = {}
    for recipe in recipes:
        main = places.get(recipe.layer)
        if main is None or any(term.layer not in places for term in recipe.terms):
            continue
        terms = [rows[places[term.layer]] for term in recipe.terms]
        found[main] = effective_row(recipe, terms)
        digest = found[main]["effective_sha256"]
        rows[main] = replace(rows[main], effective_sha256=digest, effective_steps=recipe.steps)
        for row in terms:
            if row.layer_id != rows[main].layer_id:
                rows[places[LayerKey(row.tensor, row.bank_index)]] = replace(row, merged_into=rows[main].layer_id)
    made = [found[main] for main in sorted(found)]
    batch = pa.RecordBatch.from_pylist(made, schema=EFFECTIVE) if made else None
    return replace(staged, rows=tuple(rows), effective=batch)


def has_unknown_weight(index: pa.Table) -> pa.ChunkedArray:
    """Tell of each row of `index` whether its layer is standardized by a formula that is not known.

    What the network convolves with is then neither the stored weight nor one that `effective` gives.

    Args:
        index: Rows of `index`, with the columns `weight_kind`, `layer_sha256`, `effective_sha256` and `merged_into`.

    Returns:
        Booleans, false for branches that are merged and for layers whose weight was not read.
    """
    import pyarrow.compute as pc  # every run imports this module, and few get here

    has_recipe = pc.or_(pc.is_valid(index["effective_sha256"]), pc.is_valid(index["merged_into"]))
    stored = pc.and_not(pc.is_valid(index["layer_sha256"]), has_recipe)
    return pc.and_(pc.equal(index["weight_kind"], "standardized"), stored)


def unknown_weights_text(count: int) -> str:
    """Say for people how many layers the view `effective` leaves out as `has_unknown_weight`, and what would help."""
    layers = "1 layer is" if count == 1 else f"{count:,} layers are"
    return (
        f"{layers} left out of the view `effective`: standardized by a formula that the checkpoint does not state. "
        "Its architecture does (`arch=timm/NAME`, see docs/loading.md)"
    )


def effective_row(recipe: Recipe, layers: Sequence[IndexRow]) -> dict[str, Any]:
    """Return a row of EFFECTIVE.

    Args:
        recipe: How the effective weight follows from stored ones.
        layers: The stored layers of its terms, the main one first.
    """
    main, norm, rest = layers[0], recipe.norm, recipe.rest
    row = {name: getattr(main, name) for name in ("layer_id", "model_id", "source", "layer_sha256", "kernel")}
    row |= {
        "shape": recipe.shape,
        "steps": recipe.steps,
        "terms": [_term(term, layer) for term, layer in zip(recipe.terms, layers, strict=True)],
        "rest": None if rest is None else rest.ravel(),
        "rest_kernel_size": None if rest is None else rest.shape[2:],
        "bias": recipe.bias,
        "eps_assumed": recipe.eps_assumed,
    }
    if norm is not None:
        row |= {
            "norm": norm.path,
            "norm_evidence": norm.evidence,
            "norm_eps": norm.eps,
            "norm_scale": norm.scale,
            "norm_offset": norm.offset,
            "norm_mean": norm.mean,
            "norm_variance": norm.variance,
        }
    return {**dict.fromkeys(EFFECTIVE.names), **row, "effective_sha256": digest_of(row)}


def _term(term: Term, layer: IndexRow) -> dict[str, Any]:
    row: dict[str, Any] = {"layer_id": layer.layer_id, "layer_sha256": layer.layer_sha256, "dilation": term.dilation}
    for name, numbers in (("scale", term.scale), ("shift", term.shift)):
        row[name] = None if numbers is None else numbers.ravel()
        row[f"{name}_shape"] = None if numbers is None else numbers.shape
    return row


def digest_of(row: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what the effective weight of a row of EFFECTIVE is computed from, names left out."""
    digest = hashlib.sha256()

    def add(numbers: Any, kind: str) -> None:
        data = b"" if numbers is None else np.asarray(numbers, kind).tobytes()
        digest.update(f"{'null' if numbers is None else len(data)};".encode() + data)

    add(row["shape"], "<i8")
    for term in row["terms"]:
        digest.update(term["layer_sha256"].encode())
        add(term["dilation"], "<i8")
        for name in ("scale", "shift"):
            add(term[name], "<f8")
            add(term[f"{name}_shape"], "<i8")
    add(row["rest"], "<f4")
    add(row["rest_kernel_size"], "<i8")
    add(row.get("norm_scale"), "<f4")
    if (variance := row.get("norm_variance")) is not None:
        eps = row["norm_eps"]
        add(variance, "<f4")
        add(ASSUMED_EPS if eps is None else eps, "<f8")
    return digest.hexdigest()


def recipe_of(row: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a row of EFFECTIVE; its layers are named by their layer_sha256.

    Raises:
        DatasetError: Lengths and shapes of the row do not fit together.
    """
    try:
        terms = tuple(
            Term(
                layer=LayerKey(term["layer_sha256"]),
                scale=_shaped(term["scale"], term["scale_shape"]),
                shift=_shaped(term["shift"], term["shift_shape"]),
                dilation=None if term["dilation"] is None else tuple(term["dilation"]),
            )
            for term in row["terms"]
        )
        main, shape, size = terms[0].layer, tuple(row["shape"]), row["rest_kernel_size"]
        rest = None if size is None else np.asarray(row["rest"], np.float32).reshape(*shape[:2], *size)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise DatasetError(f"{row['layer_id']}: the row of `effective` is damaged ({error})") from error
    return Recipe(
        layer=main,
        steps=tuple(row["steps"]),
        shape=shape,
        groups=None,
        terms=terms,
        rest=rest,
        bias=_numbers(row["bias"], np.float64),
        norm=_norm(row),
        eps_assumed=row["eps_assumed"],
    )


def _shaped(numbers: Any, shape: Any) -> NDArray[np.float64] | None:
    return None if numbers is None else np.asarray(numbers, np.float64).reshape(shape)


def _numbers(values: Any, kind: Any) -> NDArray[Any] | None:
    return None if values is None else np.asarray(values, kind)


def _norm(row: Mapping[str, Any]) -> Norm | None:
    if row["norm_variance"] is None:
        return None
    return Norm(
        path=row["norm"],
        evidence=row["norm_evidence"],
        eps=row["norm_eps"],
        scale=_numbers(row["norm_scale"], np.float32),
        offset=_numbers(row["norm_offset"], np.float32),
        mean=np.asarray(row["norm_mean"], np.float32),
        variance=np.asarray(row["norm_variance"], np.float32),
    )


def rows_of(batch: pa.RecordBatch | pa.Table) -> Iterator[dict[str, Any]]:
    """Yield rows of EFFECTIVE, their floating point numbers as arrays."""
    for place in range(batch.num_rows):
        yield {name: _value(batch[name][place]) for name in EFFECTIVE.names}


def _value(scalar: Any) -> Any:
    kind = scalar.type
    if not scalar.is_valid or not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return scalar.as_py()
    if pa.types.is_struct(kind.value_type):
        return [{name: _value(part) for name, part in item.items()} for item in scalar]
    return scalar.values.to_numpy() if pa.types.is_floating(kind.value_type) else scalar.as_py()


def of_checkpoint(batch: pa.RecordBatch, model_id: str, source: str) -> pa.RecordBatch:
    """Return the same rows of another checkpoint with the same file."""
    old = batch["model_id"][0].as_py()

    def renamed(layer_id: str) -> str:
        return model_id + layer_id.removeprefix(old)

    rows = batch.to_pylist()
    for row in rows:
        row |= {"layer_id": renamed(row["layer_id"]), "model_id": model_id, "source": source}
        for term in row["terms"]:
            term["layer_id"] = renamed(term["layer_id"])
    return pa.RecordBatch.from_pylist(rows, schema=EFFECTIVE)


def to_bytes(batch: pa.RecordBatch) -> bytes:
    """Return the rows of a checkpoint as a compressed Arrow stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, EFFECTIVE, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def from_bytes(data: bytes) -> pa.RecordBatch:
    """Undo `to_bytes`.

    Raises:
        DatasetError: The data is damaged.
    """
    try:
        with pa.ipc.open_stream(data) as stream:
            return stream.read_next_batch()
    except (pa.ArrowException, OSError, StopIteration) as error:
        raise DatasetError(
            f"stored rows of `effective` are damaged ({error}); run `filtercrawl sync SELECTOR --rebuild`"
        ) from error


def effective_batches(checkpoints: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join the rows of checkpoints to batches of bounded memory; the rows of one checkpoint stay together."""
    group: list[pa.RecordBatch] = []
    for batch in checkpoints:
        group.append(batch)
        if sum(part.nbytes for part in group) >= _GROUP_BYTES or _CUT.is_boundary(batch["model_id"][0].as_py()):
            yield _joined(group)
            group = []
    if group:
        yield _joined(group)


def by_checkpoint(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Split batches, in which the rows of a checkpoint are consecutive, by checkpoint; yield model_id and rows."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        names, start = batch["model_id"].to_pylist(), 0
        for stop in range(1, len(names) + 1):
            if stop < len(names) and names[stop] == names[start]:
                continue
            if held and held[0]["model_id"][0].as_py() != names[start]:
                yield held[0]["model_id"][0].as_py(), _joined(held)
                held = []
            held.append(batch.slice(start, stop - start))
            start = stop
    if held:
        yield held[0]["model_id"][0].as_py(), _joined(held)


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
