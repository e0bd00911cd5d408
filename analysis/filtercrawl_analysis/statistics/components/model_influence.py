"""How far explained variance moves when each model is left out: exact, from merged sketches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.numerics.moments import Array, Moments
from filtercrawl_analysis.statistics.components.share_intervals import leave_one_out, ordered_shares
from filtercrawl_analysis.statistics.groups.labels import LayerGroups

Row = dict[str, Any]

INFLUENCE: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("what", "kernel")),
        pa.field("component", pa.int32()),
        *(pa.field(name, pa.string()) for name in ("column", "group_a", "group_b", "model_id")),
        pa.field("kernels", pa.int64()),
        *(pa.field(name, pa.float64()) for name in ("value", "without", "change")),
    ]
)
EXPLAINED_VARIANCE: Final = "explained_variance"
# With fewer models, what is left is another model rather than a sample with one less.
MIN_MODELS: Final = 3


def moments_by_model(units: LayerGroups, moments: Moments) -> tuple[list[str], Moments]:
    """Return the models that have kernels, in alphabetical order, and the moments of each."""
    ids = [str(model) for model in units.labels["model_id"]]
    names = sorted({model for model, n in zip(ids, moments.n, strict=True) if n > 0})
    places = {name: i for i, name in enumerate(names)}
    kept = moments.n > 0
    of_unit = np.array([places[model] for model, keep in zip(ids, kept, strict=True) if keep], np.int64)
    with_kernels = Moments(n=moments.n[kept], mean=moments.mean[kept], scatter=moments.scatter[kept])
    return names, with_kernels.merge(of_unit, len(names))


def component_influence(kernel: str, models: list[str], moments: Moments, components: int) -> Iterator[Row]:
    """Yield rows of `INFLUENCE`: the explained variance of the first components, with each model left out.

    Args:
        kernel: The kernel size.
        models: The models.
        moments: Moments of the scaled kernels of each.
        components: Number of components.
    """
    if len(models) < MIN_MODELS:
        return
    (value,) = ordered_shares(moments.total().scatter)
    without = _shares_where_kernels_differ(leave_one_out(moments).scatter)
    for component in range(min(components, len(value))):
        quantity = {"what": EXPLAINED_VARIANCE, "kernel": kernel, "component": component}
        yield from influence_rows(quantity, models, moments.n, float(value[component]), without[:, component])


def influence_rows(quantity: Row, models: list[str], kernels: Array, value: float, without: Array) -> list[Row]:
    """Return the rows of one quantity, the model that moves it furthest first.

    Args:
        quantity: The columns that say what it is.
        models: The models.
        kernels: Kernels of each in it [models].
        value: The quantity of all models.
        without: The same without each [models]; NaN where it does not exist.
    """
    empty: Row = dict.fromkeys(INFLUENCE.names)
    rows = [
        empty
        | quantity
        | {
            "model_id": model,
            "kernels": int(n),
            "value": value,
            "without": float(rest) if np.isfinite(rest) else None,
            "change": float(rest - value) if np.isfinite(rest) else None,
        }
        for model, n, rest in zip(models, kernels, without, strict=True)
    ]
    return sorted(rows, key=lambda row: (row["change"] is None, -abs(row["change"] or 0.0), row["model_id"]))


def _shares_where_kernels_differ(scatter: Array) -> Array:
    """Return the ordered shares of each matrix [S, taps]; NaN where no two kernels differ."""
    shares = np.full(scatter.shape[:2], np.nan)
    differ = np.trace(scatter, axis1=1, axis2=2) > 0
    shares[differ] = ordered_shares(scatter[differ])
    return shares
