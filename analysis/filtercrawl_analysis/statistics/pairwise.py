"""Comparison of all pairs of groups of one column and kernel size: plain and matched drift, as rows of tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.statistics.coefficients import CoefficientHistograms
from filtercrawl_analysis.statistics.divergence import component_divergence, pairwise_drift
from filtercrawl_analysis.statistics.groups import LayerGroups, ordered_labels
from filtercrawl_analysis.statistics.matched_drift import MatchedDrift, matched_drift
from filtercrawl_analysis.statistics.resampling import (
    LEVEL,
    ModelGroupHistograms,
    NullDistribution,
    adjust_p_values,
    bootstrap_intervals,
    group_distributions,
    permutation_null,
    random_generator,
)

Row = dict[str, Any]

# Smaller groups leave most of their 70 bins empty, so that their drift would reflect their size.
MIN_KERNELS: Final = 100
# Intervals and nulls are computed for the pairs of so many groups, those with the most kernels.
MAX_RESAMPLED: Final = 20

_COUNTS: Final = [
    pa.field(f"{what}_{side}", pa.int64()) for what in ("models", "layers", "kernels") for side in ("a", "b")
]
_PAIR: Final = [pa.field("kernel", pa.string()), pa.field("group_a", pa.string()), pa.field("group_b", pa.string())]
_CHANCE: Final = [
    *(pa.field(name, pa.float64()) for name in ("drift", "low", "high", "null_median", "null_high", "p", "q")),
    pa.field("verdict", pa.string()),
    pa.field("note", pa.string()),
]
DRIFT: Final = pa.schema(
    [*_PAIR, *_CHANCE, *_COUNTS, pa.field("mode", pa.string()), pa.field("by_component", pa.list_(pa.float64()))]
)
MATCHED: Final = pa.schema(
    [
        *_PAIR,
        pa.field("matched_by", pa.string()),
        *_CHANCE,
        pa.field("plain_drift", pa.float64()),
        *(pa.field(n, pa.int64()) for n in ("strata", "models_a", "models_b", "fewest_models", "most_models")),
        pa.field("mode", pa.string()),
    ]
)
GROUPS: Final = pa.schema(
    [
        pa.field("column", pa.string()),
        pa.field("kernel", pa.string()),
        pa.field("group", pa.string()),
        *(pa.field(name, pa.int64()) for name in ("models", "architectures", "layers", "kernels")),
        pa.field("compared", pa.bool_()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The groups of one column at one kernel size, compared.

    Attributes:
        column: The column.
        kernel: The kernel size, such as `3x3`.
        names: The groups that are compared.
        models: Distinct models in them.
        drift: Drift between all pairs of them [groups, groups].
        groups: Rows of the table of groups, also of those that are too small to compare.
        plain: Rows of the table of drifts.
        matched: Rows of the table of matched drifts.
    """

    column: str
    kernel: str
    names: tuple[str, ...]
    models: int
    drift: np.ndarray[Any, np.dtype[np.float64]]
    groups: tuple[Row, ...]
    plain: tuple[Row, ...]
    matched: tuple[Row, ...]


def compare_groups(
    column: str,
    kernel: str,
    units: LayerGroups,
    histograms: CoefficientHistograms,
    strata: Sequence[str],
    resamples: int,
    seed: int,
) -> Comparison:
    """Compare all groups of a column.

    Args:
        column: The column.
        kernel: The kernel size of all layers.
        units: Layers combined into units.
        histograms: Histograms of their coefficients.
        strata: Columns to match by; `column` itself is skipped.
        resamples: Number of bootstrap resamples, and of random assignments.
        seed: Seed of all random numbers.
    """
    labels = units.labels[column]
    groups = [_group(column, kernel, name, units) for name in ordered_labels(labels, units.kernels)]
    names = tuple(row["group"] for row in groups if row["compared"])
    cells, cell_units = _cells(units, labels, names, histograms)
    if len(names) < 2:
        drift = np.zeros((len(names), len(names)))
        return Comparison(
            column=column, kernel=kernel, names=names, models=0, drift=drift, groups=tuple(groups), plain=(), matched=()
        )
    distributions = group_distributions(cells)
    drift = pairwise_drift(distributions, distributions, cells.weights)
    largest = sorted(range(len(names)), key=lambda i: -cells.counts[cells.cells_of(i)].sum())[:MAX_RESAMPLED]
    low, high = bootstrap_intervals(
        _select_groups(cells, largest), drift, resamples, random_generator(seed, column, kernel)
    )
    group_rows = {row["group"]: row for row in groups}
    mode = histograms.space.mode
    plain: list[Row] = []
    matched: list[Row] = []
    for a, b in itertools.combinations(range(len(names)), 2):
        pair: Row = {"kernel": kernel, "group_a": names[a], "group_b": names[b], "mode": mode}
        random = random_generator(seed, column, kernel, names[a], names[b])
        n_resamples = resamples if a in largest and b in largest else 0
        null = permutation_null(cells, a, b, float(drift[a, b]), n_resamples, random)
        interval = _finite_or_none(low[a, b]), _finite_or_none(high[a, b])
        sides = ("a", group_rows[names[a]]), ("b", group_rows[names[b]])
        counts = {f"{what}_{side}": row[what] for what in ("models", "layers", "kernels") for side, row in sides}
        note = None if n_resamples or not resamples else f"intervals are drawn for the {MAX_RESAMPLED} largest groups"
        if cells.n_models(a) < 2 or cells.n_models(b) < 2:
            note = "a group of one model: no interval"
        counts["by_component"] = component_divergence(distributions[a], distributions[b]).tolist()
        plain.append(pair | counts | _drift_columns(float(drift[a, b]), interval, null, note))
        for by in strata:
            row = _matched_pair(cells, cell_units, units, by, a, b, n_resamples, random) if by != column else None
            matched += [pair | {"matched_by": by, "plain_drift": float(drift[a, b])} | row] if row else []
    _adjust(plain)
    for by in strata:
        _adjust([row for row in matched if row["matched_by"] == by])
    return Comparison(
        column=column,
        kernel=kernel,
        names=names,
        models=len(np.unique(cells.model)),
        drift=drift,
        groups=tuple(groups),
        plain=tuple(plain),
        matched=tuple(matched),
    )


def _group(column: str, kernel: str, name: str, units: LayerGroups) -> Row:
    members = [i for i, label in enumerate(units.labels[column]) if label == name]
    kernels = int(units.kernels[members].sum())
    return {
        "column": column,
        "kernel": kernel,
        "group": name,
        "models": len({units.labels["model_id"][i] for i in members}),
        "architectures": len({units.labels["architecture"][i] for i in members} - {None}),
        "layers": int(units.layers[members].sum()),
        "kernels": kernels,
        "compared": kernels >= MIN_KERNELS,
    }


def _cells(
    units: LayerGroups, labels: Sequence[str | None], names: Sequence[str], histograms: CoefficientHistograms
) -> tuple[ModelGroupHistograms, dict[tuple[int, int], int]]:
    """Add up the histograms of units by model and group; also return one unit of each cell, which has the labels."""
    code = {name: i for i, name in enumerate(names)}
    models = {name: i for i, name in enumerate(dict.fromkeys(units.labels["model_id"]))}
    members: dict[tuple[int, int], list[int]] = {}
    for unit, (label, model) in enumerate(zip(labels, units.labels["model_id"], strict=True)):
        if label in code and histograms.counts[unit].any():
            members.setdefault((code[label], models[model]), []).append(unit)
    counts = np.zeros((len(members), *histograms.counts.shape[1:]))
    for cell, cell_members in enumerate(members.values()):
        counts[cell] = histograms.counts[cell_members].sum(0)
    cells = ModelGroupHistograms(
        group=np.array([group for group, _ in members], np.int64),
        model=np.array([model for _, model in members], np.int64),
        counts=counts,
        bin_width=histograms.space.bin_width,
        weights=histograms.space.weights,
        n_groups=len(names),
    )
    return cells, {key: cell_members[0] for key, cell_members in members.items()}


def _select_groups(cells: ModelGroupHistograms, groups: Sequence[int]) -> ModelGroupHistograms:
    kept = np.isin(cells.group, groups)
    return ModelGroupHistograms(
        group=cells.group[kept],
        model=cells.model[kept],
        counts=cells.counts[kept],
        bin_width=cells.bin_width,
        weights=cells.weights,
        n_groups=cells.n_groups,
    )


def _matched_pair(
    cells: ModelGroupHistograms,
    cell_units: dict[tuple[int, int], int],
    units: LayerGroups,
    by: str,
    a: int,
    b: int,
    resamples: int,
    random: np.random.Generator,
) -> Row | None:
    strata_of_cells = [
        units.labels[by][cell_units[key]] for key in zip(cells.group.tolist(), cells.model.tolist(), strict=True)
    ]
    codes = {name: i for i, name in enumerate(dict.fromkeys(name for name in strata_of_cells if name is not None))}
    stratum = np.array([-1 if name is None else codes[name] for name in strata_of_cells], np.int64)
    result = matched_drift(cells, stratum, a, b, resamples, random)
    return None if result is None else _matched_row(result)


def _matched_row(result: MatchedDrift) -> Row:
    note = None
    if result.max_models == 1:
        note = "one model in every cell: no interval"
    elif result.min_models == 1:
        note = "some cells have one model: the interval is too narrow"
    return {
        "strata": result.n_strata,
        "models_a": result.models_a,
        "models_b": result.models_b,
        "fewest_models": result.min_models,
        "most_models": result.max_models,
        **_drift_columns(result.drift, (result.low, result.high), result.null, note),
    }


def _drift_columns(
    drift: float, interval: tuple[float | None, float | None], null: NullDistribution | None, note: str | None
) -> Row:
    low, high = interval
    return {
        "drift": drift,
        "low": low,
        "high": high,
        "null_median": null and null.median,
        "null_high": null and null.upper,
        "p": null and null.p_value,
        "q": None,
        "verdict": drift_verdict(low, null),
        "note": note,
    }


def drift_verdict(low: float | None, null: NullDistribution | None) -> str | None:
    """Return the verdict on a drift.

    Args:
        low: Lower end of its interval.
        null: Its null distribution.

    Returns:
        `shift` if the interval lies above the 97.5 % quantile of the null, `unclear` if only the p-value is at most
        0.05, else `no shift`; None if the interval or the null is unknown.
    """
    if low is None or null is None:
        return None
    if low > null.upper:
        return "shift"
    return "unclear" if null.p_value <= LEVEL else "no shift"


def _adjust(rows: list[Row]) -> None:
    p_values = np.array([np.nan if row["p"] is None else row["p"] for row in rows])
    for row, value in zip(rows, adjust_p_values(p_values).tolist(), strict=True):
        row["q"] = _finite_or_none(value)


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def rows_of(comparisons: Sequence[Comparison], what: str) -> Iterator[Row]:
    """Yield the rows of one kind (`groups`, `plain`, `matched`) of several comparisons."""
    for comparison in comparisons:
        yield from getattr(comparison, what)
