"""Comparison of all pairs of groups of one column and kernel size: plain and matched drift, as rows of tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import numpy as np

from filtercrawl_analysis.engines.engine import MapItems, SerialEngine
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.components.coefficients import CoefficientHistograms
from filtercrawl_analysis.statistics.drift.divergence import component_divergence, paired_drift, pairwise_drift
from filtercrawl_analysis.statistics.drift.floor import expected_drift
from filtercrawl_analysis.statistics.drift.group_cells import Row, group_cells, group_row, stratum_codes
from filtercrawl_analysis.statistics.drift.inference import (
    DriftInference,
    Judgement,
    draws_of_table,
    infer_drift,
    judge,
)
from filtercrawl_analysis.statistics.drift.model_histograms import (
    ModelGroupHistograms,
    Stratum,
    common_strata,
    group_distributions,
    pooled_distribution,
    single_stratum,
)
from filtercrawl_analysis.statistics.groups.labels import LayerGroups, ordered_labels
from filtercrawl_analysis.statistics.groups.resampling import random_generator
from filtercrawl_analysis.statistics.layer_inputs import batched

# Tests of pairs that are computed at a time, some tenths of a second.
_BATCH: Final = 32


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """Two groups compared.

    Attributes:
        row: Its row of the table, without what depends on other rows.
        inference: What their models tell about the drift.
    """

    row: Row
    inference: DriftInference


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
        plain: All pairs.
        matched: The pairs that have a stratum in common, once for each column that strata are of.
    """

    column: str
    kernel: str
    names: tuple[str, ...]
    models: int
    drift: Array
    groups: tuple[Row, ...]
    plain: tuple[PairComparison, ...]
    matched: tuple[PairComparison, ...]


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """How groups are compared.

    Attributes:
        strata: Columns to match by, the compared column itself excepted.
        resamples: Number of random assignments that was asked for.
        seed: Seed of all random numbers.
        n_sizes: Number of kernel sizes, which share a table.
        map_items: Computes the tests.
    """

    strata: Sequence[str]
    resamples: int
    seed: int
    n_sizes: int
    map_items: MapItems = SerialEngine().map


def compare_groups(
    column: str, kernel: str, units: LayerGroups, histograms: CoefficientHistograms, options: ComparisonOptions
) -> Comparison:
    """Compare all groups of a column.

    Args:
        column: The column.
        kernel: The kernel size of all layers.
        units: Layers combined into units.
        histograms: Histograms of their coefficients.
        options: How groups are compared.
    """
    labels = units.labels[column]
    groups = tuple(group_row(column, kernel, name, units) for name in ordered_labels(labels, units.kernels))
    names = tuple(row["group"] for row in groups if row["compared"])
    if len(names) < 2:
        drift = np.zeros((len(names), len(names)))
        return Comparison(
            column=column, kernel=kernel, names=names, models=0, drift=drift, groups=groups, plain=(), matched=()
        )
    cells, cell_units = group_cells(units, labels, names, histograms)
    distributions = group_distributions(cells)
    drift = pairwise_drift(distributions, distributions, cells.weights)
    strata = {by: stratum_codes(units.labels[by], cell_units) for by in options.strata if by != column}
    pairs = list(itertools.combinations(range(len(names)), 2))
    draws = draws_of_table(options.resamples, len(pairs) * options.n_sizes)
    sizes = {row["group"]: row for row in groups}
    rows: list[Row] = []
    tests: list[_Test] = []
    for a, b in pairs:
        pair: Row = {"kernel": kernel, "group_a": names[a], "group_b": names[b], "mode": histograms.space.mode}
        row = pair | _sizes(sizes[names[a]], sizes[names[b]])
        row |= {"drift": float(drift[a, b]), "floor": _floor(cells, single_stratum(cells, a, b))}
        row["by_component"] = component_divergence(distributions[a], distributions[b]).tolist()
        names_of_test = (column, kernel, names[a], names[b])
        rows.append(row)
        tests.append(_Test(strata=single_stratum(cells, a, b), draws=draws, seed=options.seed, names=names_of_test))
        for by, codes in strata.items():
            if shared := common_strata(cells, codes, a, b):
                rows.append(pair | {"matched_by": by, "plain_drift": float(drift[a, b])} | _matched_row(cells, shared))
                tests.append(_Test(strata=shared, draws=draws, seed=options.seed, names=(*names_of_test, by)))
    batches = batched((test.with_own_cells(cells) for test in tests), _BATCH)
    inferences = chain.from_iterable(options.map_items(_infer, batches))
    compared = [PairComparison(row=row, inference=found) for row, found in zip(rows, inferences, strict=True)]
    return Comparison(
        column=column,
        kernel=kernel,
        names=names,
        models=len(np.unique(cells.model)),
        drift=drift,
        groups=groups,
        plain=tuple(pair for pair in compared if "matched_by" not in pair.row),
        matched=tuple(pair for pair in compared if "matched_by" in pair.row),
    )


@dataclass(frozen=True, kw_only=True)
class _Test:
    """One test of two groups.

    Attributes:
        strata: The strata to compare.
        draws: Most random assignments.
        seed: Seed of the run.
        names: What the random numbers are of.
    """

    strata: tuple[Stratum, ...]
    draws: int
    seed: int
    names: tuple[str, ...]

    def with_own_cells(self, cells: ModelGroupHistograms) -> tuple[ModelGroupHistograms, _Test]:
        """Return the cells of the strata alone, and the test with their places among these."""
        chosen = np.unique(np.concatenate([side for s in self.strata for side in (s.first, s.second)]))
        places = [(np.searchsorted(chosen, s.first), np.searchsorted(chosen, s.second)) for s in self.strata]
        own = replace(cells, group=cells.group[chosen], model=cells.model[chosen], counts=cells.counts[chosen])
        return own, replace(self, strata=tuple(Stratum(first=first, second=second) for first, second in places))


def _infer(batch: Sequence[tuple[ModelGroupHistograms, _Test]]) -> list[DriftInference]:
    return [
        infer_drift(cells, test.strata, test.draws, random_generator(test.seed, *test.names)) for cells, test in batch
    ]


def _sizes(first: Row, second: Row) -> Row:
    sides = (("a", first), ("b", second))
    return {f"{what}_{side}": row[what] for what in ("models", "layers", "kernels") for side, row in sides}


def judged_rows(pairs: Sequence[PairComparison]) -> list[Row]:
    """Return the rows of a table with all that depends on the other rows."""
    judgements = judge([pair.inference for pair in pairs])
    return [pair.row | _inferred(pair.inference, judged) for pair, judged in zip(pairs, judgements, strict=True)]


def _inferred(inference: DriftInference, judged: Judgement) -> Row:
    tested_a, tested_b = inference.design.n_models
    return {
        "verdict": judged.verdict,
        "estimate": inference.estimate,
        "low": inference.low,
        "high": inference.high,
        "p": inference.p_value,
        "q": judged.q_value,
        "detectable": judged.detectable,
        "note": judged.reason,
        "tested_models_a": tested_a,
        "tested_models_b": tested_b,
        "tested_kernels": inference.design.kernels_per_model,
    }


def _floor(cells: ModelGroupHistograms, strata: tuple[Stratum, ...]) -> float:
    """Return the expected drift of groups with equal distributions and these numbers of kernels."""
    sides = [stratum.first for stratum in strata], [stratum.second for stratum in strata]
    # A mean over strata is as noisy as that many kernels of one distribution.
    kernels = tuple(len(side) ** 2 / sum(1 / cells.kernels[members].sum() for members in side) for side in sides)
    counts = np.stack([cells.counts[np.concatenate([s.first, s.second])].sum(0) for s in strata])
    common = (counts / counts.sum(-1, keepdims=True)).mean(0)
    return expected_drift(common, (float(kernels[0]), float(kernels[1])), cells.weights, cells.bin_width)


def _matched_row(cells: ModelGroupHistograms, strata: tuple[Stratum, ...]) -> Row:
    p, q = (pooled_distribution(cells, [getattr(s, side) for s in strata]) for side in ("first", "second"))
    sizes = [len(side) for stratum in strata for side in (stratum.first, stratum.second)]
    return {
        "drift": float(paired_drift(p, q, cells.weights)),
        "floor": _floor(cells, strata),
        "strata": len(strata),
        "models_a": sum(len(stratum.first) for stratum in strata),
        "models_b": sum(len(stratum.second) for stratum in strata),
        "fewest_models": min(sizes),
        "most_models": max(sizes),
    }


def group_rows(comparisons: Sequence[Comparison]) -> Iterator[Row]:
    """Yield the rows of the table of groups."""
    for comparison in comparisons:
        yield from comparison.groups
