"""The table of models: their layers and kernels by verdict, and whether they look untrained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from filtercrawl_analysis.statistics.quality.verdict_rules import VERDICTS

Row = dict[str, Any]


def column_name(verdict: str) -> str:
    """Return the name of the column that counts a verdict."""
    return verdict.replace(" ", "_")


_COLUMNS: Final = tuple(column_name(verdict) for verdict in VERDICTS)
_SCHEMA: Final = pa.schema(
    [
        pa.field("model_id", pa.string()),
        pa.field("layers", pa.int64()),
        pa.field("kernels", pa.int64()),
        *(pa.field(name, pa.int64()) for name in _COLUMNS),
        *(pa.field(f"kernels_{name}", pa.int64()) for name in _COLUMNS),
        pa.field("dead_share", pa.float64()),
        pa.field("judgeable", pa.int64()),
        pa.field("random_share", pa.float64()),
        pa.field("initialization", pa.string()),
        pa.field("law", pa.string()),
        pa.field("untrained_layers", pa.int64()),
    ]
)


def model_quality(layers: pa.Table, initialization: pa.Table) -> pa.Table:
    """Return one row per model, in the order of `initialization`.

    Columns:
        `ok` and the other verdicts: Layers with this verdict; `kernels_` and the verdict, their kernels.
        `dead_share`: Share of dead kernels, from the `dead_share` of each layer.
        `judgeable`: Layers that are `ok` or `random`.
        `random_share`: Share of `random` ones among them; null if there are none.
        `initialization`, `law`, `untrained_layers`: Verdict, distribution and layers of `model_initialization`.

    Args:
        layers: A table of `layer_verdicts`.
        initialization: A table of `model_initialization`.
    """
    by_model: dict[str, list[Row]] = {}
    for layer in layers.select(["model_id", "n_kernels", "dead_share", "norm_linf", "verdict"]).to_pylist():
        by_model.setdefault(layer["model_id"], []).append(layer)
    rows = [
        _model_row(model["model_id"], by_model[model["model_id"]])
        | {name: model[name] for name in ("law", "untrained_layers")}
        | {"initialization": model["verdict"]}
        for model in initialization.to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _model_row(model_id: str, layers: Sequence[Row]) -> Row:
    of = {verdict: [layer for layer in layers if layer["verdict"] == verdict] for verdict in VERDICTS}
    judgeable = len(of["ok"]) + len(of["random"])
    known = [
        (layer["n_kernels"], 1.0 if layer["norm_linf"] == 0 else layer["dead_share"])
        for layer in layers
        if layer["norm_linf"] == 0 or layer["dead_share"] is not None
    ]
    n_known = sum(n for n, _ in known)
    return {
        "model_id": model_id,
        "layers": len(layers),
        "kernels": sum(layer["n_kernels"] for layer in layers),
        **{column_name(verdict): len(of[verdict]) for verdict in VERDICTS},
        **{f"kernels_{column_name(verdict)}": sum(row["n_kernels"] for row in of[verdict]) for verdict in VERDICTS},
        "dead_share": sum(n * share for n, share in known) / n_known if n_known else None,
        "judgeable": judgeable,
        "random_share": len(of["random"]) / judgeable if judgeable else None,
    }
