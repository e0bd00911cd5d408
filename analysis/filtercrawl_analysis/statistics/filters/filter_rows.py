"""Rows of the tables of filters, of layers and of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.statistics.filters.layer_filters import LayerFilters

Row = dict[str, Any]

FILTER_SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("filter_id", "layer_id", "model_id")),
        pa.field("out_channel", pa.int32()),
        *(pa.field(name, pa.float32()) for name in ("norm_l1", "norm_l2", "norm_linf", "energy_share")),
        pa.field("twin", pa.int32()),
        pa.field("twin_cosine", pa.float32()),
        pa.field("dead", pa.bool_()),
        pa.field("copy", pa.bool_()),
    ]
)
LAYER_FIELDS: Final = (
    *(pa.field(name, pa.int64()) for name in ("n_filters", "n_nonfinite_filters", "n_dead_filters", "n_copies")),
    *(pa.field(name, pa.float64()) for name in ("dead_filter_share", "copy_share", "copy_share_independent")),
    *(pa.field(name, pa.float64()) for name in ("twin_similarity", "negative_twin_share", "largest_energy_share")),
)
_MODEL_SCHEMA: Final = pa.schema(
    [
        pa.field("model_id", pa.string()),
        *(pa.field(name, pa.int64()) for name in ("layers", "n_filters", "n_dead_filters", "n_copies")),
        *(pa.field(name, pa.float64()) for name in ("dead_filter_share", "copy_share", "copy_share_independent")),
        pa.field("twin_similarity", pa.float64()),
        pa.field("copies", pa.string()),
    ]
)
MORE: Final = "more than independent filters"
NOT_MORE: Final = "not told apart"
NONE: Final = "none"
# A model has more copies than independent filters if these have at most this share of them.
_CHANCE_SHARE: Final = 0.05


def filter_id(layer_id: str, out: int) -> str:
    """Return the id of a filter: that of its layer and its output channel, from 0."""
    return f"{layer_id}:{out}"


def filter_batch(layer_id: str, model_id: str, filters: LayerFilters) -> pa.RecordBatch:
    """Return the rows `FILTER_SCHEMA` of a layer; null where a filter is not finite, or has no twin."""
    n = len(filters)
    unknown = ~filters.finite
    no_twin = filters.twin < 0
    columns = {
        "filter_id": pa.array([filter_id(layer_id, out) for out in range(n)], pa.string()),
        "layer_id": pa.array([layer_id] * n, pa.string()),
        "model_id": pa.array([model_id] * n, pa.string()),
        "out_channel": pa.array(np.arange(n), pa.int32()),
        **{
            name: pa.array(getattr(filters, name).astype(np.float32), mask=np.isnan(getattr(filters, name)))
            for name in ("norm_l1", "norm_l2", "norm_linf", "energy_share")
        },
        "twin": pa.array(filters.twin.astype(np.int32), mask=no_twin),
        "twin_cosine": pa.array(filters.twin_cosine.astype(np.float32), mask=no_twin),
        "dead": pa.array(filters.dead, mask=unknown),
        "copy": pa.array(filters.copy, mask=unknown),
    }
    return pa.record_batch(list(columns.values()), schema=FILTER_SCHEMA)


def layer_row(filters: LayerFilters, independent: float | None) -> Row:
    """Return the columns `LAYER_FIELDS`.

    Args:
        filters: The filters of the layer.
        independent: Share of copies among independent filters; None if unknown.
    """
    n_finite = int(filters.finite.sum())
    n_dead, n_copies = int(filters.dead.sum()), int(filters.copy.sum())
    cosines = filters.twin_cosine[np.isfinite(filters.twin_cosine) & ~filters.dead]
    shares = filters.energy_share[np.isfinite(filters.energy_share)]
    return {
        "n_filters": len(filters),
        "n_nonfinite_filters": len(filters) - n_finite,
        "n_dead_filters": n_dead,
        "n_copies": n_copies,
        "dead_filter_share": n_dead / n_finite if n_finite else None,
        "copy_share": n_copies / n_finite if n_finite else None,
        "copy_share_independent": independent,
        "twin_similarity": float(np.median(np.abs(cosines))) if len(cosines) else None,
        "negative_twin_share": float((cosines < 0).mean()) if len(cosines) else None,
        "largest_energy_share": float(shares.max()) if len(shares) else None,
    }


def model_rows(layers: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return one row per model, those with the largest share of copies first.

    Columns:
        `copy_share_independent`: Expected share of copies, from the layers where it is known.
        `twin_similarity`: Median over layers.
        `copies`: `none`; `more than independent filters`, where fewer than 5 % of them are expected among independent
            ones; or `not told apart`.
    """
    by_model: dict[str, list[Mapping[str, Any]]] = {}
    for layer in layers:
        by_model.setdefault(layer["model_id"], []).append(layer)
    rows = [_model_row(model, of_model) for model, of_model in by_model.items()]
    rows.sort(key=lambda row: (-(row["copy_share"] or 0.0), row["model_id"]))
    return pa.Table.from_pylist(rows, schema=_MODEL_SCHEMA)


def _model_row(model: str, layers: Sequence[Mapping[str, Any]]) -> Row:
    total, n_dead, n_copies = (
        sum(layer[name] for layer in layers) for name in ("n_filters", "n_dead_filters", "n_copies")
    )
    n_finite = total - sum(layer["n_nonfinite_filters"] for layer in layers)
    known = [layer for layer in layers if layer["copy_share_independent"] is not None]
    expected = sum(layer["copy_share_independent"] * layer["n_filters"] for layer in known)
    n_known, known_copies = (sum(layer[name] for layer in known) for name in ("n_filters", "n_copies"))
    similar = [layer["twin_similarity"] for layer in layers if layer["twin_similarity"] is not None]
    return {
        "model_id": model,
        "layers": len(layers),
        "n_filters": total,
        "n_dead_filters": n_dead,
        "n_copies": n_copies,
        "dead_filter_share": n_dead / n_finite if n_finite else None,
        "copy_share": n_copies / n_finite if n_finite else None,
        "copy_share_independent": expected / n_known if n_known else None,
        "twin_similarity": float(np.median(similar)) if similar else None,
        "copies": NONE if not n_copies else MORE if known_copies * _CHANCE_SHARE > expected else NOT_MORE,
    }
