"""Every pair of groups of one column and one kernel size compared: plain and matched drift, as rows of tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.statistics.bootstrap import (
    LEVEL,
    ModelGroupHistograms,
    NullDistribution,
    adjust_p_values,
    bootstrap_intervals,
    group_distributions,
    permutation_null,
    random_generator,
)
from filtercrawl_analysis.statistics.coefficients import CoefficientHistograms
from filtercrawl_analysis.statistics.divergence import component_divergence, pairwise_drift
from filtercrawl_analysis.statistics.groups import LayerGroups, ordered_labels
from filtercrawl_analysis.statistics.matched_drift import MatchedDrift, matched_drift

Row = dict[str, Any]

# A group of fewer kernels leaves most of its 70 bins empty; its drift would be that of its size.
MIN_KERNELS: Final = 100
# Intervals and nulls are drawn for the pairs of so many groups, those with the most kernels.
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
    """The groups of one column at one kernel size. names: of the groups compared; models: distinct ones
    in them; drift: [groups, groups].
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
    found: CoefficientHistograms,
    strata: Sequence[str],
    resamples: int,
    seed: int,
) -> Comparison:
    """Compare all groups of a column; strata: the columns to match by, of which `column` itself is none."""
    labels = units.labels[column]
    groups = [_group(column, kernel, name, units) for name in ordered_labels(labels, units.kernels)]
    names = tuple(row["group"] for row in groups if row["compared"])
    cells, cell_units = _cells(units, labels, names, found)
    if len(names) < 2:
        drift = np.zeros((len(names), len(names)))
        return Comparison(
            column=column, kernel=kernel, names=names, models=0, drift=drift, groups=tuple(groups), plain=(), matched=()
        )
    groups_p = group_distributions(cells)
    drift = pairwise_drift(groups_p, groups_p, cells.weights)
    largest = sorted(range(len(names)), key=lambda i: -cells.counts[cells.cells_of(i)].sum())[:MAX_RESAMPLED]
    low, high = bootstrap_intervals(_only(cells, largest), drift, resamples, random_generator(seed, column, kernel))
    known = {row["group"]: row for row in groups}
    mode = found.space.mode
    plain: list[Row] = []
    side_by_side: list[Row] = []
    for a, b in itertools.combinations(range(len(names)), 2):
        pair: Row = {"kernel": kernel, "group_a": names[a], "group_b": names[b], "mode": mode}
        random = random_generator(seed, column, kernel, names[a], names[b])
        asked = resamples if a in largest and b in largest else 0
        chance = permutation_null(cells, a, b, float(drift[a, b]), asked, random)
        ends = _known(low[a, b]), _known(high[a, b])
        sides = ("a", known[names[a]]), ("b", known[names[b]])
        counts = {f"{what}_{side}": row[what] for what in ("models", "layers", "kernels") for side, row in sides}
        note = None if asked or not resamples else f"intervals are drawn for the {MAX_RESAMPLED} largest groups"
        if cells.n_models(a) < 2 or cells.n_models(b) < 2:
            note = "a group of one model: no interval"
        counts["by_component"] = component_divergence(groups_p[a], groups_p[b]).tolist()
        plain.append(pair | counts | _chance(float(drift[a, b]), ends, chance, note))
        for by in strata:
            row = _match(cells, cell_units, units, by, a, b, asked, random) if by != column else None
            side_by_side += [pair | {"matched_by": by, "plain_drift": float(drift[a, b])} | row] if row else []
    _adjust(plain)
    for by in strata:
        _adjust([row for row in side_by_side if row["matched_by"] == by])
    return Comparison(
        column=column,
        kernel=kernel,
        names=names,
        models=len(np.unique(cells.model)),
        drift=drift,
        groups=tuple(groups),
        plain=tuple(plain),
        matched=tuple(side_by_side),
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
    units: LayerGroups, labels: Sequence[str | None], names: Sequence[str], found: CoefficientHistograms
) -> tuple[ModelGroupHistograms, dict[tuple[int, int], int]]:
    """Add up units to what each model has in each group; and one unit of each, which knows the model's labels."""
    code = {name: i for i, name in enumerate(names)}
    models = {name: i for i, name in enumerate(dict.fromkeys(units.labels["model_id"]))}
    members: dict[tuple[int, int], list[int]] = {}
    for unit, (label, model) in enumerate(zip(labels, units.labels["model_id"], strict=True)):
        if label in code and found.counts[unit].any():
            members.setdefault((code[label], models[model]), []).append(unit)
    counts = np.zeros((len(members), *found.counts.shape[1:]))
    for place, several in enumerate(members.values()):
        counts[place] = found.counts[several].sum(0)
    cells = ModelGroupHistograms(
        group=np.array([group for group, _ in members], np.int64),
        model=np.array([model for _, model in members], np.int64),
        counts=counts,
        bin_width=found.space.bin_width,
        weights=found.space.weights,
        n_groups=len(names),
    )
    return cells, {key: several[0] for key, several in members.items()}


def _only(cells: ModelGroupHistograms, groups: Sequence[int]) -> ModelGroupHistograms:
    kept = np.isin(cells.group, groups)
    return ModelGroupHistograms(
        group=cells.group[kept],
        model=cells.model[kept],
        counts=cells.counts[kept],
        bin_width=cells.bin_width,
        weights=cells.weights,
        n_groups=cells.n_groups,
    )


def _match(
    cells: ModelGroupHistograms,
    cell_units: dict[tuple[int, int], int],
    units: LayerGroups,
    by: str,
    a: int,
    b: int,
    resamples: int,
    random: np.random.Generator,
) -> Row | None:
    of_cell = [
        units.labels[by][cell_units[key]] for key in zip(cells.group.tolist(), cells.model.tolist(), strict=True)
    ]
    codes = {name: i for i, name in enumerate(dict.fromkeys(name for name in of_cell if name is not None))}
    stratum = np.array([-1 if name is None else codes[name] for name in of_cell], np.int64)
    found = matched_drift(cells, stratum, a, b, resamples, random)
    return None if found is None else _matched_row(found)


def _matched_row(found: MatchedDrift) -> Row:
    note = None
    if found.max_models == 1:
        note = "one model in every cell: no interval"
    elif found.min_models == 1:
        note = "some cells have one model: the interval is too narrow"
    return {
        "strata": found.n_strata,
        "models_a": found.models_a,
        "models_b": found.models_b,
        "fewest_models": found.min_models,
        "most_models": found.max_models,
        **_chance(found.drift, (found.low, found.high), found.null, note),
    }


def _chance(
    drift: float, ends: tuple[float | None, float | None], chance: NullDistribution | None, note: str | None
) -> Row:
    low, high = ends
    return {
        "drift": drift,
        "low": low,
        "high": high,
        "null_median": chance and chance.median,
        "null_high": chance and chance.upper,
        "p": chance and chance.p_value,
        "q": None,
        "verdict": drift_verdict(low, chance),
        "note": note,
    }


def drift_verdict(low: float | None, chance: NullDistribution | None) -> str | None:
    """Return `shift` where the interval lies above what chance makes (97.5 % quantile of the null), `unclear` where
    only the p-value is at most 0.05, `no shift` otherwise; None where either could not be drawn.
    """
    if low is None or chance is None:
        return None
    if low > chance.upper:
        return "shift"
    return "unclear" if chance.p_value <= LEVEL else "no shift"


def _adjust(rows: list[Row]) -> None:
    p_values = np.array([np.nan if row["p"] is None else row["p"] for row in rows])
    for row, value in zip(rows, adjust_p_values(p_values).tolist(), strict=True):
        row["q"] = _known(value)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def rows_of(comparisons: Sequence[Comparison], what: str) -> Iterator[Row]:
    """Yield the rows of one kind (`groups`, `plain`, `matched`) of several comparisons."""
    for comparison in comparisons:
        yield from getattr(comparison, what)
