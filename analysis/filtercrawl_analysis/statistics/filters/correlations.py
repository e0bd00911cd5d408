"""Rank correlations of a user's columns with measures of filters, tested by exchange of filters within layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from scipy.stats import norm, rankdata

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.groups.model_medians import adjust, median_interval, verdict

# Pairs within layers that the normal approximation needs.
_MIN_PAIRS: Final = 20
# Filters of a layer that a rank correlation needs.
_MIN_FILTERS: Final = 3
CORRELATION_SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("joined", "measure")),
        *(pa.field(name, pa.float64()) for name in ("rank_correlation", "within_layers", "low", "high", "p", "q")),
        pa.field("verdict", pa.string()),
        *(pa.field(name, pa.int64()) for name in ("models", "layers", "filters")),
    ]
)


@dataclass(kw_only=True)
class _Pair:
    """What is known of one column and one measure."""

    columns: list[Array] = field(default_factory=list)
    measures: list[Array] = field(default_factory=list)
    weighted: float = 0.0
    weight: float = 0.0
    layers: int = 0
    by_model: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


class FilterCorrelations:
    """Collects layers; memory grows by the joined filters."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], _Pair] = {}

    def add(self, model_id: str, joined: Mapping[str, Array], measures: Mapping[str, Array]) -> None:
        """Add the filters of a layer.

        Args:
            model_id: The model of the layer.
            joined: The user's columns, NaN where unknown, float64 [filters] each.
            measures: Measures of the filters, likewise.
        """
        for column, values in joined.items():
            for measure, of_filters in measures.items():
                pair = self._pairs.setdefault((column, measure), _Pair())
                known = np.isfinite(values) & np.isfinite(of_filters)
                pair.columns.append(values[known])
                pair.measures.append(of_filters[known])
                rho = _rank_correlation(values[known], of_filters[known])
                if rho is not None:
                    weight = float(known.sum() - 1)
                    pair.weighted += weight * rho
                    pair.weight += weight
                    pair.layers += 1
                    pair.by_model.setdefault(model_id, []).append((weight, rho))

    def table(self) -> pa.Table:
        """Return one row per column and measure.

        Columns:
            `rank_correlation`: Spearman's, of all filters.
            `within_layers`: Mean of the correlations of layers, each weighted by n - 1 for n filters.
            `p`, `q`: Of `within_layers` where filters of a layer are exchanged at random. Spearman's correlation then
                has the variance 1 / (n - 1), also with ties; normal approximation of their sum. Adjusted over the
                table.
            `low`, `high`: 95 % interval of the median over models of the mean of their layers.
            `verdict`: `higher`: filters of a higher value have a higher measure; see `model_medians.verdict`.
        """
        rows = [{"joined": c, "measure": m} | _row(pair) for (c, m), pair in self._pairs.items()]
        for row, q in zip(rows, adjust([row["p"] for row in rows]), strict=True):
            row |= {"q": q, "verdict": verdict(q, row["within_layers"] or 0.0)}
        return pa.Table.from_pylist(rows, schema=CORRELATION_SCHEMA)


def _row(pair: _Pair) -> dict[str, Any]:
    columns, measures = np.concatenate(pair.columns), np.concatenate(pair.measures)
    of_models = [sum(w * rho for w, rho in layers) / sum(w for w, _ in layers) for layers in pair.by_model.values()]
    low, high = median_interval(of_models) or (None, None)
    enough = pair.weight >= _MIN_PAIRS
    return {
        "rank_correlation": _rank_correlation(columns, measures),
        "within_layers": pair.weighted / pair.weight if pair.weight else None,
        "low": low,
        "high": high,
        "p": 2 * float(norm.sf(abs(pair.weighted) / math.sqrt(pair.weight))) if enough else None,
        "models": len(pair.by_model),
        "layers": pair.layers,
        "filters": len(columns),
    }


def _rank_correlation(a: Array, b: Array) -> float | None:
    """Return Spearman's correlation; None for fewer than three filters, or values that are all equal."""
    if len(a) < _MIN_FILTERS:
        return None
    ranks = rankdata(a), rankdata(b)
    centered = [rank - rank.mean() for rank in ranks]
    scale = math.sqrt(float(centered[0] @ centered[0]) * float(centered[1] @ centered[1]))
    return float(centered[0] @ centered[1]) / scale if scale > 0 else None
